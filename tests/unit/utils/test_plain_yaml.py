"""What the fast reader of YAML gives is what PyYAML's own gives."""

from pathlib import Path

import pytest
import yaml

from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.utils import plain_yaml

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_shipped_file(path):
    text = path.read_text(encoding="utf-8")
    assert repr(plain_yaml.read(text)) == repr(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("schema", "file", "words"),
    [
        (TrainConfig, ROOT / "configs/train/vdm_shapes.yaml", []),
        (InferConfig, None, ["prompt='ünï: #1 \\n …'"]),
    ],
)
def test_what_a_run_writes(schema, file, words):
    text = load(file, words, schema).text
    assert repr(plain_yaml.read(text)) == repr(yaml.safe_load(text))


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\tx: 1", "a: !!python/object:os.system {}"])
def test_what_is_no_plain_data_is_refused_as_before(text):
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load(text)
    with pytest.raises(yaml.YAMLError):
        plain_yaml.read(text)
