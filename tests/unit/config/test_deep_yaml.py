"""YAML whose brackets are nested without end is refused at once."""

import pytest

from mindlong.config.yaml_file import read_tree
from mindlong.utils.errors import ConfigError


@pytest.mark.parametrize("deep", ["[" * 3000, "{a: " * 10 + "[ " * 3000, "[\t" * 150])
def test_deeply_nested_brackets_are_a_sentence(tmp_path, deep):
    (tmp_path / "model.yaml").write_text(f"family: vdm\ntext: {deep}\n")
    with pytest.raises(ConfigError, match="nested|readable YAML"):
        read_tree(tmp_path / "model.yaml")


def test_lists_of_lists_are_taken(tmp_path):
    (tmp_path / "model.yaml").write_text("a: [[[[1, 2], [3]]]]\n")
    assert read_tree(tmp_path / "model.yaml").values == {"a": [[[["1", "2"], ["3"]]]]}
