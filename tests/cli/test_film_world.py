"""scripts/film_world.sh asks for nothing that the programs refuse, and reads only what it made."""

from argparse import Namespace

import pytest
from recorded_scripts import ROOT, asked

from mindlong.cli import (
    compare_long,
    evaluate_autoencoder,
    evaluate_edits,
    evaluate_interpolation,
    evaluate_long,
    evaluate_shapes,
    train_tokenizer,
)
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig

SCRIPT = "film_world.sh"
TOOLS = {
    "tools/evaluate_autoencoder.py": evaluate_autoencoder,
    "tools/evaluate_edits.py": evaluate_edits,
    "tools/evaluate_interpolation.py": evaluate_interpolation,
    "tools/evaluate_long.py": evaluate_long,
    "tools/evaluate_shapes.py": evaluate_shapes,
    "tools/train_tokenizer.py": train_tokenizer,
}
GIVEN = (
    "latents.vae",
    "latents.unet_weights",
    "latents.tokenizer",
    "latents.text_weights",
    "weights",
    "hierarchical.key_weights",
    "edit.video",
    "tune.video",
)


def understood(program, words):
    """(the folders that a command reads, the one that it makes)."""
    if program in ("train.py", "infer.py"):
        config = words.pop(words.index("--config") + 1) if "--config" in words else None
        pairs = [word for word in words if "=" in word]
        loaded = load(ROOT / config, pairs, TrainConfig if program == "train.py" else InferConfig)
        held = dict(pair.split("=", 1) for pair in pairs)
        if held.get("edit.video"):
            assert len(loaded.values.prompts) == 4, "a camera's words are no prompt of their own"
        made = held.get("run_dir") or held["output"] + "/0001"
        return [held[key] for key in GIVEN if held.get(key)], made
    if program == "tools/compare_long.py":
        args = compare_long.parser().parse_intermixed_args(words)
        assert len(args.prompts) == 16 and "'" not in "".join(args.prompts)
        return [args.weights], str(args.out)
    args = TOOLS[program].parser().parse_args(words)
    if program == "tools/evaluate_edits.py" and not args.write_clips:
        assert len(args.folders) == len(args.against) == 8
    made = getattr(args, "dst", "") or getattr(args, "write_clips", "")
    return _read(args), str(made).removesuffix(".part")  # clips are written aside


def _read(args: Namespace):
    found = [getattr(args, name, None) for name in ("weights", "folder")]
    listed = [*getattr(args, "folders", ()), *getattr(args, "against", ())]
    return [str(path) for path in [*found, *listed] if path]


def test_every_command_is_understood_and_reads_what_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    out = tmp_path / "out"
    code, commands = asked(SCRIPT, tmp_path, str(out))
    assert code == 0
    made = set()
    for program, *words in commands:
        reads, makes = understood(program, words)
        mine = [path.partition("/clip-")[0] for path in reads if path.startswith(str(out))]
        assert set(mine) <= made, f"{program} reads {set(mine) - made}, which nothing made"
        made.add(makes)
    trainings = [words for words in commands if words[0] == "train.py"]
    assert {
        f"run_dir={out / name}"
        for name in ("autoencoder", "base", "pixels", "storyboard", "images", "tuning/run-7")
    } <= {word for words in trainings for word in words}


def test_a_part_asks_for_what_it_needs(tmp_path):
    code, commands = asked(SCRIPT, tmp_path, str(tmp_path / "out"), "clips")
    programs = [command[0] for command in commands]
    assert code == 0 and programs.count("train.py") == 2 and "infer.py" not in programs


@pytest.mark.parametrize("words", [[], ["--help"], ["out", "other"], ["out", "text", "other"]])
def test_other_words_get_the_usage(tmp_path, words):
    assert asked(SCRIPT, tmp_path, *words) == (2, [])
