"""Prompts with weights, in chunks, as blends and by frames, in every pipeline that has them. States
against the originals: tests/parity/test_prompts.py.
"""

import contextlib

import cogvideox_toys
import key_walk as walk
import latent_toys
import numpy as np
import pytest
from mindspore import Tensor

from mindlong.cli import infer
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.media.write import write_frames
from mindlong.pipelines.edit import make as edit_make
from mindlong.pipelines.latent_model import LatentModel
from mindlong.pipelines.load_model import load_latent_model
from mindlong.pipelines.one_prompt import OnePrompt, shown_of
from mindlong.pipelines.prompts import Prompts
from mindlong.pipelines.wording import Wording, texts_of
from mindlong.plans.frame_prompts import rows_of
from mindlong.plans.hierarchy import plan_hierarchical
from mindlong.plans.prompt_syntax import Piece, read
from mindlong.utils.errors import ConfigError

LONG = "abcdefgh"  # of a vocabulary of letters: 8 tokens, where 6 fit
ROOM, LENGTH = 6, 8


def pieces(text):
    return [(piece.text, round(piece.weight, 4)) for piece in read(text)[0].pieces]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a cat", [("a cat", 1)]),
        ("an (important) word", [("an ", 1), ("important", 1.1), (" word", 1)]),
        ("((a)) [b]", [("a", 1.21), (" ", 1), ("b", 0.9091)]),
        ("(a:1.3) (b:-0.5)", [("a", 1.3), (" ", 1), ("b", -0.5)]),
        ("\\(a\\] \\\\", [("(a] \\", 1)]),
        ("(a:b) c: d", [("a:b", 1.1), (" c: d", 1)]),
        ("(open [both", [("open ", 1.1), ("both", 1)]),
        ("", [("", 1)]),
    ],
)
def test_brackets_weigh(text, want):
    assert pieces(text) == want


def test_a_plain_prompt_is_what_was_typed():
    typed = "a (b:1.3) [c] AND \\( #x {0}"
    (said,) = read(typed, "plain")
    assert said.pieces == (Piece(typed),) and said.share == 1


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a AND b", [("a", 0.5), ("b", 0.5)]),
        ("a AND b:0.5 AND c:1.5", [("a", 1 / 3), ("b", 0.5 / 3), ("c", 0.5)]),
        ("a:2 AND b:-1", [("a", 2), ("b", -1)]),
        ("a: b AND c", [("a: b", 0.5), ("c", 0.5)]),
        ("BAND and a", [("BAND and a", 1)]),
    ],
)
def test_parts_of_a_blend_have_shares_of_one(text, want):
    said = read(text)
    assert [part.pieces[0].text for part in said] == [text for text, _ in want]
    np.testing.assert_allclose([part.share for part in said], [share for _, share in want])


@pytest.mark.parametrize(
    ("text", "words"),
    [("(a:1.2.3)", "'1.2.3', which is no number"), ("a:1 AND b:-1", "whose shares add up to 0")],
)
def test_what_is_not_written_right_is_said(text, words):
    with pytest.raises(ConfigError, match=words):
        read(text)


# --- in a run ---


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Words of the cases -> files that they stand for."""
    folder = tmp_path_factory.mktemp("words")
    frames = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3)).astype(np.uint8)
    video = write_frames(folder / "video", frames, 4)
    families = {"VC2": "videocrafter2", "SD": "stable_diffusion", "I2V": "dynamicrafter_512"}
    families |= {"INTERP": "dynamicrafter_interp"}
    made = {word: str(latent_toys.folder(folder / word, name)) for word, name in families.items()}
    first = sorted(p.name for p in video.glob("*.png"))[0]
    return {**made, "IMAGE": f"{video}/{first}", "VIDEO": str(video)}


def loaded(pairs, places, folder="out"):
    for word, place in places.items():
        pairs = [pair.replace(word, place) for pair in pairs]
    few = ["sample.steps=1", "sample.guidance=2", "env.mode=pynative", f"output={folder}"]
    return load(None, [*few, *pairs], InferConfig)


class Ids:
    """A text encoder whose state of a token is its id."""

    def __call__(self, ids):
        assert ids.shape == (1, LENGTH)
        return Tensor(np.repeat(ids.asnumpy()[..., None], 24, 2).astype(np.float32))


@contextlib.contextmanager
def watched(monkeypatch):
    """Runs with stand-ins for networks; gives the contexts that the network is asked with."""
    asked = []
    with walk.stand_ins(monkeypatch), monkeypatch.context() as patch:
        stand_in = LatentModel._cell
        patch.setattr(
            LatentModel, "_cell", lambda s, r: Ids() if r == "text_encoder" else stand_in(s, r)
        )
        predict = LatentModel.predict

        def noted(self, x, t, context, *rest, **more):
            asked.append(np.array(context))
            return predict(self, x, t, context, *rest, **more)

        patch.setattr(LatentModel, "predict", noted)
        patch.setattr(edit_make, "inject", lambda network, videos: {})
        yield asked


SMALL = ["frames=4", "size=[16,16]"]
CASES = {
    "text_to_video": ["weights=VC2", *SMALL],
    "animate": ["weights=I2V", *SMALL, "image=IMAGE"],
    "hierarchical": ["weights=VC2", "lengths=[4]", "size=[16,16]"],
    "interpolate": ["weights=VC2", "factors=[3]", "images=[IMAGE,IMAGE]"],
    "interpolate by ends": ["weights=INTERP", "factors=[15]", "images=[IMAGE,IMAGE]"],
    "interpolate a prompt": ["weights=VC2", "factors=[3]", "keys=2", "size=[16,16]"],
    "extend": ["weights=VC2", "frames=3", "extend.run=4", "images=[IMAGE]"],
    "extend by an image": ["weights=I2V", "frames=3", "extend.run=4", "images=[IMAGE]"],
    "edit": ["weights=SD", *SMALL, "video=VIDEO", "edit.invert=false"],
    "edit along": [
        *("weights=SD", *SMALL, "video=VIDEO", "edit.invert_steps=1"),
        "edit.inject={text: 0.5}",
    ],
    "clip_parallel": ["weights=VC2", *SMALL, "clips=1", "strategy=windows", "window=4"],
}
FRAMES = {"interpolate by ends": 16}
IMAGED = ("animate", "interpolate by ends", "extend by an image")  # read one length of prompts


def run(name, more, places, tmp_path, monkeypatch):
    pairs = [f"pipeline={name.split()[0]}", *CASES[name], *more]
    with watched(monkeypatch) as asked:
        infer.start(loaded(pairs, places, tmp_path / "out"))
    return asked


@pytest.mark.parametrize("name", [name for name in CASES if name not in IMAGED])
def test_long_prompts_and_negatives_have_as_many_chunks_everywhere(
    name, places, tmp_path, monkeypatch
):
    words = [f"prompt={LONG}", "long_prompts=chunks", "negative=z"]
    asked = run(name, words, places, tmp_path, monkeypatch)
    assert asked and {context.shape[-2] for context in asked} == {2 * LENGTH}
    rows = {tuple(row[:, 0]) for context in asked for row in context.reshape(-1, 2 * LENGTH, 24)}
    assert len(rows) == (3 if name == "edit along" else 2)  # a source of its own
    second = [row[LENGTH:] for row in rows if row[2] != row[LENGTH + 2] or row[3] == row[-1]]
    assert second and all(row[LENGTH] == row[0] for row in rows)  # each chunk with its own start


def conditional(asked):
    """(F,), the first letter of each frame in the last call's row that guidance leads to."""
    rows = [row[:, 1, 0] for context in asked for row in context if context.ndim == 4]
    return next(row for row in reversed(rows) if len(set(row)) > 1)


@pytest.mark.parametrize("name", CASES)
def test_scenes_are_frame_ranges_everywhere(name, places, tmp_path, monkeypatch):
    total = FRAMES.get(name, 4)
    scenes = f"scenes={{0-1: a, 2-{total - 1}: b}}"
    asked = run(name, [scenes, "negative=z"], places, tmp_path, monkeypatch)
    shown = conditional(asked)
    assert len(shown) >= 3 and len(set(shown[:2])) <= 2 and shown[-1] != shown[0]
    assert set(shown) <= {shown[0], shown[-1]}


@pytest.mark.parametrize("name", CASES)
def test_one_prompt_turns_into_the_next_everywhere(name, places, tmp_path, monkeypatch):
    last = FRAMES.get(name, 4) - 1
    asked = run(name, [f"scenes={{0: a, {last}: c}}"], places, tmp_path, monkeypatch)
    shown = conditional(asked)
    step = np.diff(shown)
    np.testing.assert_allclose(step, step[0], rtol=1e-3)
    assert abs(step[0]) > 0.05


@pytest.mark.parametrize("name", ["extend", "interpolate", "edit", "animate"])
def test_scenes_that_do_not_fit_are_refused_by_name(name, places):
    pairs = [f"pipeline={name}", *CASES[name], "scenes={0-1: a, 2-77: b}"]
    with pytest.raises(ConfigError, match=rf"{name}\.scenes: the ranges end with frame 77"):
        infer.plan(loaded(pairs, places))


def test_what_a_run_makes_of_its_prompts_is_said(places):
    more = ["pipeline=text_to_video", *CASES["text_to_video"], "prompt=ab(cdefgh"]
    assert "the last 3 are cut off; long_prompts=chunks" in said(more, places)
    whole = said([*more, "long_prompts=chunks", "prompt_syntax=weighted"], places)
    assert "2 chunks of 6 tokens" in whole and "a bracket that is not closed" in whole
    assert "cut off" not in whole
    stray = said([*more, "prompt=a)", "prompt_syntax=weighted"], places)
    assert "closes nothing" in stray


def said(pairs, places):
    return "\n".join(infer.plan(loaded(pairs, places)))


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([*CASES["animate"], "pipeline=animate", "long_prompts=chunks"], "no more. Leave it out"),
        (["pipeline=text_to_video", "weights=VC2", f"prompt={'a' * 200}"], "16 are the most"),
        (["weights=shipped:vdm_shapes", "prompt=a"], "is not read by pipeline pixel"),
    ],
)
def test_networks_that_cannot_follow_say_so(pairs, words, places):
    more = [] if any("long_prompts" in pair for pair in pairs) else ["long_prompts=chunks"]
    with pytest.raises(ConfigError, match=words):
        infer.plan(loaded([*pairs, *more], places))


@pytest.mark.parametrize("key", ["prompt_syntax=weighted", "long_prompts=chunks"])
def test_t5_takes_prompts_as_they_are(key, tmp_path):
    where = cogvideox_toys.folder(tmp_path / "cog")
    pairs = ["pipeline=text_to_video", f"weights={where}", "prompt=a", key]
    with pytest.raises(ConfigError, match="takes prompts as they are"):
        infer.plan(loaded(pairs, {}))


def test_every_text_of_a_configuration_counts(places):
    more = ["lengths=[4]", "level_prompts={0: l}", "node_prompts={0/0: n}", "negative=m"]
    config = loaded(["pipeline=hierarchical", "weights=VC2", "prompt=p", *more], places).values
    assert {"l", "n", "m", "p", ""} == set(texts_of(config))


def test_a_model_that_is_kept_reads_each_call_its_own_way(places):
    model = load_latent_model(places["VC2"])
    model.builders["text_encoder"] = lambda: _Cell()
    plain = model.encode_text(["(ab)"])
    model.wording = Wording("weighted")
    weighted, chunked = model.encode_text(["(ab)"]), None
    model.wording = Wording("plain", 2)
    chunked = model.encode_text(["(ab)"])
    assert chunked.shape == (1, 2 * LENGTH, 24) and np.abs(plain - weighted).max() > 0
    np.testing.assert_array_equal(chunked[:, :LENGTH], plain)
    model.wording = Wording()
    np.testing.assert_array_equal(model.encode_text(["(ab)"]), plain)


class _Cell(Ids):
    def set_train(self, mode):
        return self


def test_scenes_of_a_hierarchy_may_be_single_frames():
    plan = plan_hierarchical([3, 3])
    prompts = Prompts(plan, scenes={"0": "a", str(plan.frames - 1): "b"}, nodes={"1/0": "n"})
    jobs = {(job.level, job.node): job for job in plan.jobs}
    top = prompts.rows(jobs[0, 0])
    assert top[0] == (("a", 1.0),) and top[-1] == (("b", 1.0),)
    assert top[1] == (("a", 0.5), ("b", 0.5)) and prompts.changing()
    assert prompts.rows(jobs[1, 0]) == [(("n", 1.0),)] * 3


def test_runs_that_number_frames_more_finely_show_the_same():
    shown = shown_of({"0-1": "a", "2-3": "b"}, "", 4, "x", 1).finer(5)
    assert [row[0][0] for row in shown.at([0, 4, 5, 10, 99])] == ["a", "a", "b", "b", "b"]
    assert shown_of({}, "p", 4, "x") == OnePrompt("p")
    assert rows_of({"0-1": "a"}, 2) == [(("a", 1.0),)] * 2
