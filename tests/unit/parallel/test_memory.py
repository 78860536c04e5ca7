"""The memory that a process may have, and runs that need more."""

import resource

import pytest

from mindlong.parallel import memory
from mindlong.utils.errors import ConfigError

GIB = 2**30


def root(tmp_path, total=16, groups="0::/\n", **limits):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(f"MemTotal:  {total * 2**20} kB\nMemFree: 1 kB\n")
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for place, text in limits.items():
        file = tmp_path / "sys/fs/cgroup" / place.replace("__", "/").replace("_max", ".max")
        file = file.with_name(file.name.replace("limit_in_bytes", "memory.limit_in_bytes"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def found(where):
    return {limit.what: limit.bytes / GIB for limit in memory.limits(where)}


@pytest.fixture(autouse=True)
def no_shell_limit(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)


def test_a_machine_without_limits_has_its_memory(tmp_path):
    assert found(root(tmp_path)) == {"this machine has": 16}


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("0::/a/b\n", {"a__memory_max": str(4 * GIB), "a__b__memory_max": "max\n"}),
        ("0::/a/b\n", {"a__b__memory_max": str(4 * GIB)}),
        ("4:cpu:/a\n3:memory,x:/a\n", {"memory__a__limit_in_bytes": str(4 * GIB)}),
        ("3:memory:/a\n", {"memory__limit_in_bytes": str(4 * GIB)}),
    ],
)
def test_a_container_and_those_around_it_limit(tmp_path, groups, limits):
    where = root(tmp_path, groups=groups, **limits)
    assert found(where)["the container (cgroup) may take"] == 4


def test_a_limit_without_an_end_is_none(tmp_path):
    where = root(tmp_path, groups="3:memory:/\n", memory__limit_in_bytes=str(2**63 - 4096))
    assert list(found(where)) == ["this machine has"]


def test_the_shell_leaves_what_the_libraries_do_not_take(tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (7 * GIB, 7 * GIB))
    (shell,) = [v for k, v in found(root(tmp_path)).items() if "ulimit" in k]
    assert shell == 7 - memory.ADDRESSES / GIB


def test_a_run_that_needs_more_is_refused_with_what_to_lower(monkeypatch):
    monkeypatch.setattr(
        memory, "limits", lambda: iter([memory.Limit(4.0 * GIB, "this machine has")])
    )
    memory.check(3 * GIB, "frames", "CPU")
    memory.check(30 * GIB, "frames", "CPU", ignore=True)
    with pytest.raises(ConfigError) as caught:
        memory.check(3 * GIB, "frames or size", "CPU", processes=2)
    words = ("6.00 GiB", "2 processes", "4.00 GiB", "Lower frames or size", "env.memory=ignore")
    assert all(word in str(caught.value) for word in words)


def test_the_memory_of_an_npu_is_not_compared(monkeypatch, tmp_path):
    monkeypatch.setattr(
        memory, "limits", lambda: iter([memory.Limit(4.0 * GIB, "this machine has")])
    )
    monkeypatch.setattr(memory, "NPU", (str(tmp_path),))
    memory.check(30 * GIB, "frames", "auto")
    with pytest.raises(ConfigError):
        memory.check(30 * GIB, "frames", "CPU")


@pytest.mark.parametrize(
    ("dtype", "target", "npu", "factor"),
    [
        ("float32", "auto", True, 1.0),
        ("float16", "auto", True, 0.5),
        ("bfloat16", "Ascend", True, 0.5),
        ("float16", "CPU", True, 1.0),
        ("float16", "auto", False, 1.0),
    ],
)
def test_half_precision_saves_memory_on_an_npu_alone(
    monkeypatch, tmp_path, dtype, target, npu, factor
):
    monkeypatch.setattr(memory, "NPU", (str(tmp_path) if npu else str(tmp_path / "none"),))
    assert memory.of_type(dtype, target) == factor
