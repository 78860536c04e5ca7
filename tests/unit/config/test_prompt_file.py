"""Files of prompts: what they may hold, and that a run knows them by their content."""

import numpy as np
import pytest

from mindlong.cli.infer import plan
from mindlong.config import prompt_file
from mindlong.config.dump import to_yaml
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.pipelines.inputs import inputs_of, without_places
from mindlong.utils.errors import ConfigError, InputFileError

WANT = ["a cat, asleep", 'a "dog"', "ein Öl\u2028fleck"]
TEXTS = {
    "p.txt": 'a cat, asleep\r\n\n  a "dog"  \nein Öl\u2028fleck\n',
    "p.csv": 'id,prompt\n1,"a cat, asleep"\n2,"a ""dog"""\n3,ein Öl\u2028fleck\n',
    "p.jsonl": '{"prompt": "a cat, asleep"}\n\n"a \\"dog\\""\n{"id": 3, "prompt": "ein Öl\u2028fleck"}\n',
}


@pytest.mark.parametrize("name", TEXTS)
def test_each_kind_of_file_gives_its_prompts(tmp_path, name):
    (tmp_path / name).write_bytes(TEXTS[name].encode())
    config = load(None, [f"prompts=@{tmp_path / name}", "prompt=before"], InferConfig).values
    assert config.wanted_prompts() == ["before", *WANT]
    assert config.prompts == [f"@{tmp_path / name}"]  # what is saved names the file


def test_a_file_stands_among_prompts_and_two_marks_are_one(tmp_path):
    (tmp_path / "p.txt").write_text("one\ntwo")
    given = ["@@ sign", f"@{tmp_path / 'p.txt'}", "last"]
    assert prompt_file.expanded(given, 10) == ["@ sign", "one", "two", "last"]
    with pytest.raises(ConfigError, match="prompts are 4; a run takes at most 3"):
        prompt_file.expanded(given, 3)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("none.txt", None, "no file at .*none.txt"),
        ("p.doc", "a", "must end in .txt, .csv, .jsonl"),
        ("p.txt", "\n \n", "holds no prompt"),
        ("p.txt", b"\xff\xfe", "not text in UTF-8"),
        ("p.txt", "a\0b", "line 1 holds the character NUL"),
        ("p.csv", "promt\na\n", "line 1 has no 'prompt'; it has promt. Did you mean 'promt'"),
        ("p.csv", "prompt,seed\na,1\n", "has 'seed', which is of a run"),
        ("p.csv", "id,prompt\n1,a\n2\n", "line 3 has no prompt"),
        ("p.csv", 'prompt\n"a\n', "p.csv, line .: unexpected end"),
        ("p.jsonl", "{", "line 1 is no JSON"),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": 3}', "line 2 has no prompt; it must be a text"),
        ("p.jsonl", '{"prompt": "a", "steps": 3}', "line 1 has 'steps'"),
    ],
)
def test_what_is_wrong_with_a_file_is_a_sentence(tmp_path, name, text, words):
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((ConfigError, InputFileError), match=words) as caught:
        prompt_file.expanded([f"@{tmp_path / name}"], 10)
    assert "\n" not in str(caught.value)


def test_a_run_knows_its_file_by_content_and_not_by_place(tmp_path):
    digests, trees = [], []
    for name, text in (("a.txt", "x"), ("b.txt", "x"), ("c.txt", "y")):
        (tmp_path / name).write_text(text)
        arguments = [f"prompts=[plain,'@{tmp_path / name}']"]
        config = load(None, ["pipeline=pixel", *arguments], InferConfig).values
        known = {k: v for k, v in inputs_of(config).items() if k.startswith("prompts")}
        assert list(known) == ["prompts[1]"]
        digests.append(known["prompts[1]"]["sha256"])
        trees.append(without_places(to_yaml(config)))
    assert trees[0] == trees[1] == trees[2] and trees[0]["prompts"] == ["plain", "@"]
    assert digests[0] == digests[1] != digests[2]


def test_thousands_are_read_once(tmp_path, monkeypatch):
    path = tmp_path / "many.txt"
    path.write_text("\n".join(f"prompt {i}" for i in range(5000)))
    reads = []
    real = prompt_file.READERS[".txt"]
    monkeypatch.setitem(
        prompt_file.READERS, ".txt", lambda p, text: reads.append(p) or real(p, text)
    )
    for _ in range(3):
        assert len(prompt_file.expanded([f"@{path}"], 10**5)) == 5000
    path.write_text("other")
    assert prompt_file.expanded([f"@{path}"], 10**5) == ["other"]
    assert len(reads) == 2
    assert np.unique(reads).size == 1


@pytest.mark.parametrize("pipeline", ["pixel", "text_to_video"])
def test_a_thousand_prompts_are_planned_in_few_lines(tmp_path, pipeline):
    path = tmp_path / "many.txt"
    path.write_text("\n".join(f"a red circle moving left and then right, {i}" for i in range(1000)))
    loaded = load(None, [f"pipeline={pipeline}", f"prompts=@{path}"], InferConfig)
    lines = plan(loaded)
    assert any("1000 videos" in line for line in lines) and len(lines) < 25
    assert sum("the same is true of" in line for line in lines) == 1
