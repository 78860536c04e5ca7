"""The recipe in a file: kept in every format, through a copy of the streams, and made again."""

import json
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mindlong import __version__
from mindlong.cli import infer
from mindlong.config import flow
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.media import ffmpeg
from mindlong.media.read import read_video
from mindlong.media.recipe import MOST, read_comment
from mindlong.media.sheet import write_contact_sheet
from mindlong.media.write import open_writer
from mindlong.pipelines import recipe
from mindlong.utils.errors import ConfigError, InputFileError

TEXT = json.dumps({"mindlong": "1", "a": "x=1; y#2 \\ \"quoted\" 'é圆'", "b": list(range(200))})
FRAMES = np.arange(3 * 16 * 16 * 3, dtype=np.uint8).reshape(3, 16, 16, 3)


def written(path: Path, text: str = TEXT) -> Path:
    with open_writer(path, 8, text) as writer:
        for frame in FRAMES:
            writer.append(frame)
    return path


def through_ffmpeg(source: Path, target: Path, *options: str) -> Path:
    command = [ffmpeg.executable(), "-loglevel", "error", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True)
    return target


@pytest.mark.parametrize("suffix", ["mp4", "webm", "gif", "webp"])
def test_a_video_keeps_its_comment(tmp_path, suffix):
    assert read_comment(written(tmp_path / f"v.{suffix}")) == TEXT


def test_pictures_keep_it(tmp_path):
    written(tmp_path / "frames")
    assert read_comment(tmp_path / "frames" / "000001.png") == TEXT
    assert read_comment(write_contact_sheet(tmp_path / "s.png", FRAMES[None], comment=TEXT)) == TEXT


@pytest.mark.parametrize("options", [("-c", "copy"), ("-crf", "30")])
def test_it_lives_through_a_copy_and_through_encoding_again(tmp_path, options):
    source = written(tmp_path / "v.mp4")
    assert read_comment(through_ffmpeg(source, tmp_path / "again.mp4", *options)) == TEXT
    assert read_comment(through_ffmpeg(source, tmp_path / "again.mkv", *options)) == TEXT


def test_a_gif_with_a_comment_has_the_frames_of_one_without(tmp_path):
    with_it, without = written(tmp_path / "a.gif"), written(tmp_path / "b.gif", "")
    assert np.array_equal(read_video(with_it)[0], read_video(without)[0])
    assert without.stat().st_size < with_it.stat().st_size


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.mp4", None, "does not exist"),
        ("empty.mp4", b"", "is empty"),
        ("noise.mp4", bytes(range(256)) * 20, "cannot be read"),
        ("notes.txt", b"hello", "no video, GIF, WebP or PNG"),
        ("cut.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputFileError, match=said):
        recipe.read(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "keeps no recipe"),
        ("made by hand", "keeps no recipe"),
        ("[" * 20_000, "keeps no recipe"),
        ('{"mindlong": "1"}', "damaged"),
        ('{"mindlong": "1", "config": {}, "files": {"weights": 3}}', "damaged"),
    ],
)
def test_a_comment_that_is_no_recipe_is_one_sentence(tmp_path, text, said):
    with pytest.raises(InputFileError, match=said):
        recipe.read(written(tmp_path / "v.gif", text))


CONFIG = "pipeline: text_to_video\nseed: 3\noutput: /home/me/secret\nweights: /home/me/mine\n"
INPUTS = {"weights": {"path": "/home/me/mine", "sha256": "ab" * 32}}


def test_nothing_private_is_in_it():
    text = recipe.text_of(CONFIG + "env: {threads: 3}\n", INPUTS, "video")
    assert "home" not in text and "threads" not in text and '"name":"mine"' in text
    assert recipe.text_of(f"prompts: [{'x' * MOST}]\n", {}, "video") == ""


def kept(tmp_path: Path, config: str = CONFIG, inputs=INPUTS) -> recipe.Recipe:
    return recipe.read(written(tmp_path / "v.mp4", recipe.text_of(config, inputs, "video")))


def test_files_that_are_missing_are_named_and_found_beside_the_video(tmp_path):
    found = kept(tmp_path)
    assert found.version == __version__ and found.video == "video"
    with pytest.raises(
        InputFileError, match=r"weights \(mine, SHA-256 abababababab\).*weights=PATH"
    ):
        recipe.tree_of(found, {})
    assert "weights" not in recipe.tree_of(found, {"weights": "w"}).values
    (tmp_path / "mine").mkdir()
    assert recipe.tree_of(found, {}).values["weights"] == str(tmp_path / "mine")


def test_a_hostile_recipe_names_no_path_and_no_output(tmp_path):
    held = {
        "mindlong": __version__,
        "config": {"pipeline": "pixel"},
        "files": {
            "output": {"name": "v.mp4", "sha256": "0"},
            "weights": {"name": "../../etc/passwd", "sha256": "0"},
        },
    }
    found = recipe.read(written(tmp_path / "v.mp4", json.dumps(held)))
    with pytest.raises(InputFileError, match="weights"):
        recipe.tree_of(found, {})
    assert "output" not in recipe.tree_of(found, {"weights": "x"}).values


def test_a_hostile_recipe_does_not_leave_the_package(tmp_path):
    names = {"hierarchical.images[0]": "shipped:../../../secret.png", "weights": "shipped:/etc"}
    files = {key: {"name": name, "sha256": "0"} for key, name in names.items()}
    held = {"mindlong": __version__, "config": {"pipeline": "hierarchical"}, "files": files}
    found = recipe.read(written(tmp_path / "v.mp4", json.dumps(held)))
    with pytest.raises(InputFileError, match=r"secret\.png.*shipped:/etc"):
        recipe.tree_of(found, {})


def test_what_differs_is_said(tmp_path):
    found = kept(tmp_path)
    assert recipe.differences(found, INPUTS, False) == []
    other = {"weights": {"path": "x", "sha256": "cd" * 32}}
    assert "not the file" in recipe.differences(found, other, False)[0]


def test_rounding_is_said_where_it_was_on_and_where_it_is(tmp_path):
    text = recipe.text_of("pipeline: pixel\nenv: {threads: 3}\n", {}, "video", bf16=True)
    assert "threads" not in text
    found = recipe.read(written(tmp_path / "v.mp4", text))
    assert recipe.differences(found, {}, True) == []
    assert (
        "env.bf16=true, this run asks for env.bf16=false" in recipe.differences(found, {}, False)[0]
    )
    assert "this run asks for env.bf16=true" in recipe.differences(kept(tmp_path), INPUTS, True)[0]


def test_a_run_is_made_again_from_its_file(tmp_path):
    """The whole way through the command, on the shipped pixel model in one step."""
    here = "env.mode=pynative"
    begun = ["prompt=a red circle", "seed=5", "fps=6", "sample.sampler=ddim", "sample.steps=1"]
    assert infer.command([f"output={tmp_path / 'a'}", *begun, "formats=[mp4,png]", here]) == 0
    first = tmp_path / "a" / "0001" / "video.mp4"
    assert infer.command(["--from", str(first), f"output={tmp_path / 'b'}", here]) == 0
    for name in ("video.mp4", "contact_sheet.png"):
        again = tmp_path / "b" / "0001" / name
        assert again.read_bytes() == first.with_name(name).read_bytes()
    assert infer.command(["--from", str(first), "--config", "x.yaml"]) == ConfigError.exit_code
    plain = [f"output={tmp_path / 'c'}", "recipe=false", "formats=[gif]"]
    assert infer.command(["--from", str(first), *plain, here]) == 0
    assert read_comment(tmp_path / "c" / "0001" / "video.gif") == ""


def test_a_file_of_prompts_is_found_by_name_and_a_path_for_one_is_refused(tmp_path):
    (tmp_path / "p.csv").write_text("prompt\na cat\na dog\n")
    config = "pipeline: pixel\nprompts: [plain, '@/elsewhere/p.csv']\n"
    inputs = {"prompts[1]": {"path": "/elsewhere/p.csv", "sha256": "0" * 64}}
    found = kept(tmp_path, config, inputs)
    assert found.config["prompts"] == ["plain", "@"]
    tree = recipe.tree_of(found, {}).values
    assert tree["prompts"] == ["plain", f"@{tmp_path / 'p.csv'}"]
    hostile = recipe.Recipe(found.where, "1", {"prompts": ["@/etc/secret.txt"]}, {}, "")
    with pytest.raises(InputFileError, match="which no run writes there"):
        recipe.tree_of(hostile, {})


LOST = {"path": "/elsewhere/lost", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("config", "files", "typed"),
    [
        (
            "pipeline: pixel\nprompts: ['@/elsewhere/lost', three, 'a, b', '@@home']\n",
            ["prompts[0]"],
            "prompts='[@PATH, three, \"a, b\", @@home]'",
        ),
        ("pipeline: pixel\nprompt: '@/elsewhere/lost'\n", ["prompt"], "prompt=@PATH"),
        (
            "pipeline: pixel\nprompt: one\nprompts: ['@/elsewhere/lost', three]\n",
            ["prompts[0]"],
            "prompts='[one, @PATH, three]'",
        ),
        (
            "pipeline: text_to_video\nprompt: a\nlora: [/elsewhere/lost:0.3]\n",
            ["lora[0]"],
            "lora='[PATH:0.3]'",
        ),
        (
            "pipeline: text_to_video\nprompt: a\nlora: [/a/lost, '/b/lost:-1:0.5']\n",
            ["lora[0]", "lora[1]"],
            "lora='[PATH, PATH:-1.0:0.5]'",
        ),
        (
            "pipeline: interpolate\ninterpolate: {images: [/a/here.png, /a/lost]}\n",
            ["interpolate.images[0]", "interpolate.images[1]"],
            "interpolate.images='[HERE, PATH]'",
        ),
        (
            "pipeline: extend\nextend: {video: /elsewhere/lost}\n",
            ["extend.video"],
            "extend.video=PATH",
        ),
    ],
)
def test_what_is_to_be_typed_for_a_lost_file_keeps_the_rest(tmp_path, config, files, typed):
    """The whole value: a key that is typed replaces all that the recipe has of it."""
    here = tmp_path / "here.png"
    here.write_bytes(b"")
    inputs = dict.fromkeys(files, LOST)
    if "here.png" in config:
        inputs[files[0]] = {**LOST, "path": str(here)}
    found = kept(tmp_path, config, inputs)
    with pytest.raises(InputFileError) as error:
        recipe.tree_of(found, {})
    assert str(error.value).endswith(f"for example {typed.replace('HERE', str(here))}")
    [word] = shlex.split(str(error.value).partition("for example ")[2])
    assert recipe.tree_of(found, {word.partition("=")[0]: ""}), "it is all that was missing"


def test_a_list_is_typed_so_that_it_is_read_as_it_was():
    texts = ["a cat", "a, b", "'q'", "[x", "x]", "", " b ", "it's", 'say "hi"', "é\x1b", "@@home"]
    texts += ["yes", "a: b", "#1", "\u202e"]
    typed = f"prompts={flow.written(texts)}"
    assert load(None, ["pipeline=text_to_video", typed], InferConfig).values.prompts == texts


def test_a_hostile_recipe_names_loras_that_it_has_not(tmp_path):
    held = {
        "mindlong": __version__,
        "config": {"pipeline": "text_to_video"},
        "files": {f"lora[{n}]": {"name": "v.mp4", "sha256": "0"} for n in ("7", "x", "-1")},
    }
    found = recipe.read(written(tmp_path / "v.mp4", json.dumps(held)))
    assert "lora" not in recipe.tree_of(found, {}).values
