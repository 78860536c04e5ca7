"""Which chip an NPU is, and which jit level it gets."""

import mindspore as ms
import pytest

from mindlong.ops import device
from mindlong.ops.attention import flash_910a
from mindlong.utils.errors import ConfigError


@pytest.mark.parametrize(
    ("soc", "chip"),
    [
        ("ascend910", "910a"),
        ("ascend910a", "910a"),
        ("ascend910premiuma", "910a"),
        ("ascend910b", "910b"),
        ("ascend910b4", "910b"),
        ("ascend910_93", "910b"),
        ("ascend910_9391", "910b"),
    ],
)
def test_known_chips(soc, chip):
    assert device.chip_of(soc) == chip


@pytest.mark.parametrize("soc", ["ascend310p", "ascend310b", "ascend950", "ascend910_95", "", "x"])
def test_an_unknown_chip_is_refused_and_not_taken_for_a_910a(soc):
    with pytest.raises(ConfigError, match="910A .* 910B") as caught:
        device.chip_of(soc)
    assert repr(soc) in str(caught.value)


@pytest.mark.parametrize(
    ("chip", "asked", "built", "level"),
    [
        ("910a", "auto", True, "O0"),
        ("910a", "auto", False, "auto"),
        ("910a", "O2", True, "O2"),
        ("910a", "O0", False, "O0"),
        ("910b", "auto", False, "O0"),
        ("910b", "O1", False, "O1"),
        ("cpu", "O0", True, "auto"),
    ],
)
def test_the_jit_level(chip, asked, built, level):
    assert device.level_for(chip, asked, built) == level


@pytest.mark.parametrize(("level", "fine"), [("O0", True), ("O2", False), ("auto", False)])
def test_the_910a_operators_are_refused_at_another_level(monkeypatch, level, fine):
    monkeypatch.setattr(flash_910a, "unbuilt", lambda: None)
    monkeypatch.setitem(device._state, "chip", "910a")
    monkeypatch.setitem(device._state, "jit_level", level)
    found = flash_910a.missing()
    assert found is None if fine else "env.jit_level=O0" in found and level in found


class Npu:
    """What setup asks of MindSpore on an NPU."""

    def __init__(self, monkeypatch, soc, built):
        self.asked = {}
        monkeypatch.setattr(device, "_ascend_present", lambda target: True)
        monkeypatch.setattr(device, "unbuilt", lambda: None if built else "not built")
        monkeypatch.setattr(device, "set_precision", lambda chip, hf32: None)
        monkeypatch.setattr(device, "_state", dict(device._state))
        monkeypatch.setattr(ms, "set_device", lambda *a: None)
        monkeypatch.setattr(ms, "set_context", lambda **given: self.asked.update(given))
        context = type("Context", (), {"get_ascend_soc_version": lambda _: soc})
        monkeypatch.setattr(ms.context.MSContext, "get_instance", lambda: context())


@pytest.mark.parametrize(("built", "level"), [(True, {"jit_level": "O0"}), (False, None)])
def test_setup_takes_o0_on_a_910a_whose_operators_are_built(monkeypatch, built, level):
    npu = Npu(monkeypatch, "ascend910", built)
    device.setup(native="off")
    assert device.chip() == "910a" and npu.asked.get("jit_config") == level


def test_setup_refuses_a_chip_that_nothing_was_written_for(monkeypatch):
    Npu(monkeypatch, "ascend310p", False)
    with pytest.raises(ConfigError, match="ascend310p"):
        device.setup(native="off")
