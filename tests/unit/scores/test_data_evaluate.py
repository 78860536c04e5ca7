"""The measure of generated clips: right where they are right, and wrong where they are wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindlong.cli.evaluate_shapes import command
from mindlong.data.shapes import COLOURS, ShapesWorld
from mindlong.data.shapes_draw import paint
from mindlong.media.write import write_frames, write_video
from mindlong.scores.card import BEGIN, END, card_table
from mindlong.scores.shapes import Rate, score
from mindlong.utils.errors import ConfigError

CHECKOUT = Path(__file__).parents[3]
CARDS = [p for p in CHECKOUT.glob("mindlong/weights/*/README.md") if BEGIN in p.read_text()]
WORLD = ShapesWorld((24, 24), seed=77)
CLIPS = [WORLD.clip(i) for i in range(12)]
CAPTIONS = [c.caption for c in CLIPS]


def shares(samples, captions=CAPTIONS):
    return {name: rate.share for name, rate in score(samples, captions).rates.items()}


def test_wilson_intervals():
    low, high = Rate(58, 64).interval  # 0.90625
    assert low == pytest.approx(0.8104, abs=1e-3) and high == pytest.approx(0.9563, abs=1e-3)
    assert Rate(0, 10).interval[0] == 0 and Rate(10, 10).interval == pytest.approx(
        (0.7225, 1.0), abs=1e-3
    )


def test_the_truth_scores_full():
    assert set(shares([c.frames_FHWC for c in CLIPS]).values()) == {1.0}


def test_captions_of_other_clips_score_by_chance():
    everything = WORLD.captions()
    wrong = [
        next(
            c
            for c in everything[i:]
            if not set(c.split()[1:]) & (set(CAPTIONS[i].split()) - {"moving"})
        )
        for i in range(12)
    ]
    assert shares([c.frames_FHWC for c in CLIPS], wrong) == {
        "shape": 0,
        "colour": 0,
        "shape and colour": 0,
        "direction": 0,
        "steady": 1.0,
        "all": 0,
    }


def test_noise_and_emptiness_score_nothing():
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (8, 24, 24, 3), dtype=np.uint8) for _ in CLIPS]
    empty = [np.repeat(c.truth.background_HWC[None], 8, 0) for c in CLIPS]
    for samples in (noise, empty):
        assert set(shares(samples).values()) == {0.0}


def test_backwards_clips_lose_the_direction_only():
    got = shares([c.frames_FHWC[::-1] for c in CLIPS])
    assert got["direction"] == got["all"] == 0 and got["shape and colour"] == got["steady"] == 1


def test_clips_cut_together_are_not_steady():
    pairs = [
        (a, b)
        for a, b in zip(CLIPS, CLIPS[1:], strict=False)
        if a.caption.split()[1:3] != b.caption.split()[1:3]
    ]
    mixed = [np.concatenate([a.frames_FHWC[:4], b.frames_FHWC[4:]]) for a, b in pairs]
    assert len(mixed) > 6 and shares(mixed, [a.caption for a, _ in pairs])["steady"] == 0


def test_a_blob_of_no_shape_is_no_steady_object():
    y, x = np.mgrid[:24, :24]
    blobs = []
    for clip in CLIPS:
        dx, dy = (n[:, None, None] for n in clip.truth.position_F2.T)
        hill = np.exp(-((x - dx) ** 2 + (y - dy) ** 2) / 2 / clip.truth.radius_F[0] ** 2)
        blobs.append(
            np.rint(
                paint(clip.truth.background_HWC, hill, np.array(COLOURS[clip.truth.colour]))
            ).astype(np.uint8)
        )
    assert shares(blobs)["steady"] == 0
    believed = score(blobs, CAPTIONS, unsure=True).rates
    assert believed["colour"].share == believed["direction"].share == 1, "all but the outline"
    assert believed["shape"].share < 1


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ConfigError, match="does not name a shape"):
        score([CLIPS[0].frames_FHWC], ["a red thing"])
    with pytest.raises(ConfigError, match="1 samples and 2 captions"):
        score([CLIPS[0].frames_FHWC], CAPTIONS[:2])


@pytest.fixture
def folder(tmp_path):
    for i, clip in enumerate(CLIPS[:4]):
        write_video(tmp_path / f"video-{i:03d}.mp4", clip.frames_FHWC.repeat(4, 1).repeat(4, 2), 8)
    write_frames(tmp_path / "video-001", CLIPS[1].frames_FHWC)
    (tmp_path / "contact_sheet.png").write_bytes(b"")
    (tmp_path / "video.json").write_text(
        json.dumps({"prompts": [{"prompt": c} for c in CAPTIONS[:4]]})
    )
    return tmp_path


def test_the_tool_measures_a_folder_as_infer_writes_it(folder, tmp_path, capsys):
    assert command([str(folder), "--json", str(tmp_path / "out" / "s.json")]) == 0
    table = capsys.readouterr().out
    assert "shape and colour" in table and "4/4" in table and "100.0 %   51.0 to 100.0 %" in table
    held = json.loads((tmp_path / "out" / "s.json").read_text())
    assert held["rates"]["all"]["hits"] == 4 and [s["file"] for s in held["samples"]][:2] == [
        "video-000.mp4",
        "video-001",
    ]


@pytest.mark.parametrize("name", ["preview", "source", "levels"])
def test_what_a_run_keeps_beside_its_videos_is_no_sample(folder, tmp_path, name):
    write_frames(tmp_path / name, CLIPS[0].frames_FHWC)
    assert command([str(folder)]) == 0


def test_a_caption_of_what_the_reader_does_not_choose_from_is_refused(folder, capsys):
    said = CAPTIONS[0].split()
    others = [name for name in ("circle", "square", "triangle") if name != said[2]]
    assert command([str(folder), "--shapes", *others]) == 2
    assert "which is none of the shapes that" in capsys.readouterr().err
    assert command([str(folder), "--colours", "cyan"]) == 2
    assert "which is none of the colours that" in capsys.readouterr().err


def test_no_card_is_made_of_what_the_reader_is_not_sure_of(folder, tmp_path, capsys):
    assert command([str(folder), "--unsure"]) == 0
    assert "whether the reader is sure of them or not" in capsys.readouterr().out
    card = tmp_path / "README.md"
    assert command([str(folder), "--unsure", "--card", str(card)]) == 2
    assert "leave out --unsure or --card" in capsys.readouterr().err and not card.exists()


@pytest.mark.parametrize("words", [[], ["--unsure"]])
def test_numbers_say_whether_unsure_readings_were_believed(folder, tmp_path, capsys, words):
    assert command([str(folder), *words, "--json", str(tmp_path / "s.json")]) == 0
    assert json.loads((tmp_path / "s.json").read_text())["unsure"] is bool(words)
    assert ("sure of them" in capsys.readouterr().out) is bool(words)


def test_failures_are_shown(folder, tmp_path, capsys):
    prompts = tmp_path / "p.json"
    prompts.write_text(json.dumps(["a cyan star moving up left", *CAPTIONS[1:4]]))
    assert (
        command([str(folder), "--prompts", str(prompts), "--failures", str(tmp_path / "f.png")])
        == 0
    )
    assert "3/4" in capsys.readouterr().out and (tmp_path / "f.png").exists()


@pytest.mark.parametrize(
    ("held", "arguments", "code", "words"),
    [
        ('["a red circle moving up"]', [], 3, "4 samples, but there are 1 prompts"),
        ("{}", [], 3, "holds no prompts"),
        ("nonsense", [], 3, "is not JSON"),
        (None, ["--shapes", "circel"], 2, "Did you mean 'circle'?"),
    ],
)
def test_mistakes_are_one_sentence(folder, capsys, held, arguments, code, words):
    if held is not None:
        (folder / "video.json").write_text(held)
    assert command([str(folder), *arguments]) == code
    assert words in capsys.readouterr().err


def test_missing_prompts_and_folders(tmp_path, capsys):
    assert command([str(tmp_path)]) == 3 and "--prompts" in capsys.readouterr().err
    (tmp_path / "video.json").write_text(json.dumps(CAPTIONS))
    assert command([str(tmp_path / "nothing"), "--prompts", str(tmp_path / "video.json")]) == 3


def test_a_card_gets_its_table_and_nothing_else_of_it_changes(folder, tmp_path, capsys):
    card, sheet = tmp_path / "README.md", tmp_path / "sheet.png"
    card.write_text(f"# mine\n\n{BEGIN}\nold\n{END}\n\nwords\n")
    assert command([str(folder), "--card", str(card), "--sheet", str(sheet)]) == 0
    written = card.read_text()
    assert written.startswith(f"# mine\n\n{BEGIN}\n| | |") and written.endswith(f"{END}\n\nwords\n")
    assert "old" not in written and "| direction as asked | 4/4 |" in written
    assert Image.open(sheet).height > 0
    assert command([str(folder), "--card", str(card)]) == 0 and card.read_text() == written


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.parent.name)
def test_shipped_cards_have_their_table_and_their_picture(card):
    table = card.read_text().split(BEGIN)[1].split(END)[0]
    assert "| shape and colour as asked | " in table and table.count("\n| ") >= 3
    assert (CHECKOUT / f"docs/images/{card.parent.name}.png").is_file()


def test_the_card_of_an_image_model_says_what_images_show():
    images = [clip.frames_FHWC[:1] for clip in CLIPS]
    written = card_table(score(images, CAPTIONS))
    assert "| shape and colour as asked | 12/12 |" in written and "outline" in written
    assert not any(
        word in written for word in ("direction", "steady", "background", "all of these")
    )


@pytest.mark.parametrize(
    "text", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}"]
)
def test_a_card_without_a_place_for_the_table_is_left_alone(folder, tmp_path, capsys, text):
    card = tmp_path / "README.md"
    card.write_text(text)
    assert command([str(folder), "--card", str(card)]) == 3
    assert "has no place for the table" in capsys.readouterr().err and card.read_text() == text
