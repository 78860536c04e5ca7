"""Configurations by name, wherever a command is started."""

import pytest

from mindlong.cli import infer, train
from mindlong.config import shipped
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.config.section import load_model
from mindlong.utils.errors import ConfigError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_name_or_the_path_of_a_checkout_is_the_configuration_that_travels():
    by_name = load("quickstart_long", [], InferConfig)
    assert by_name.values.pipeline == "hierarchical"
    assert by_name.text == load("configs/infer/quickstart_long.yaml", [], InferConfig).text
    assert load("vdm_shapes", [], TrainConfig).values.model.family == "vdm"
    assert load(None, ["model=vdm_tiny"], TrainConfig).values.model == load_model("vdm_tiny")


def test_a_file_that_is_here_goes_first(tmp_path):
    (tmp_path / "quickstart").write_text("seed: 41")
    assert load("quickstart", [], InferConfig).values.seed == 41
    (tmp_path / "quickstart_long").mkdir()
    assert load("quickstart_long", [], InferConfig).values.pipeline == "hierarchical"


@pytest.mark.parametrize(
    ("given", "schema", "said"),
    [
        ("quickstart_lon", InferConfig, "Did you mean 'quickstart_long'?"),
        ("zzz", InferConfig, "--config list prints their names"),
        ("clips", InferConfig, "clips is a configuration for mindlong-train (train.py)"),
        ("quickstart", TrainConfig, "is a configuration for mindlong-infer (infer.py)"),
        ("nowhere.yaml", InferConfig, "no configuration file at nowhere.yaml"),
        ("configs/infer/nowhere.yaml", InferConfig, "no configuration file at configs/infer"),
    ],
)
def test_an_unknown_name_is_answered(given, schema, said):
    with pytest.raises(ConfigError) as caught:
        load(given, [], schema)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_model_is_answered():
    with pytest.raises(ConfigError, match="Did you mean 'vdm_tiny'"):
        load(None, ["model=vdm_tny"], TrainConfig)


@pytest.mark.parametrize(("command", "kind"), [(infer, "infer"), (train, "train")])
def test_a_list_has_a_line_for_each(command, kind, capsys):
    assert command.main(["--config", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = shipped.names(kind)
    assert len(names) > 10 and [line.split()[0] for line in lines[: len(names)]] == list(names)
    for name, line in zip(names, lines, strict=False):
        about = line.removeprefix(name).strip()
        assert len(about.split()) > 3 and "python" not in about and "#" not in about


def test_every_model_loads_by_name():
    for name in shipped.names("model"):
        assert load_model(name).family
