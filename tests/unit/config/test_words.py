"""Words that people type: they mean what they say, or the answer says how they are written."""

import pytest

from mindlong.cli.common import KeyParser
from mindlong.config import flow
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.reads import UnreadKey
from mindlong.config.schema import TrainConfig
from mindlong.config.section import load_model
from mindlong.utils.errors import ConfigError
from mindlong.utils.hub import advice

T2V = "pipeline=text_to_video"
TINY = "model={family: vdm, dim: 8, dim_mults: [1, 2]}"


def values(*pairs, path=None, schema=InferConfig):
    return load(path, pairs, schema).values


def refusal(*pairs, path=None, schema=InferConfig):
    with pytest.raises(ConfigError) as caught:
        load(path, pairs, schema)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def file(tmp_path, text):
    path = tmp_path / "given.yaml"
    path.write_text(text, encoding="utf-8")
    return path


TEXTS = [
    "yes",
    "no",
    "off",
    "null",
    "~",
    "1e3",
    "007",
    "0x10",
    "it's a #1 cat",
    "a cat: sleeping",
    "-30 degrees, snow",
    "--dry_run",
    "'quoted'",
    '"quoted"',
    "{braces} and [brackets]",
    "[a, b]",
    "{a: b}",
    "${oc.env:HOME}",
    "${seed}",
    "100% & more | less > most",
    "日本の猫, 🐈",
    "a=b=c",
    "  blanks around  ",
    "back\\slash",
    "&anchor *alias !tag",
    "2024-01-01",
    "%TAG",
    "@at `tick`",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_prompt_stays_as_typed(text, tmp_path):
    loaded = load(None, [T2V, f"prompt={text}"], InferConfig)
    assert loaded.values.prompt == text
    again = load(file(tmp_path, loaded.text), [], InferConfig)
    assert again.values == loaded.values and again.text == loaded.text


@pytest.mark.parametrize("text", [t for t in TEXTS if t[0] not in "[{" and t.strip() == t])
def test_one_prompt_is_a_list_of_one(text):
    assert values(T2V, f"prompts={text}").prompts == [text]


def test_words_of_a_file_stay_as_they_stand_there(tmp_path):
    text = "pipeline: text_to_video\nprompts: [yes, 1e3, off, null]\nseed: 0b\n"
    assert "seed is '0b'; it must be a whole number" in refusal(path=file(tmp_path, text))
    path = file(tmp_path, text.replace("0b", "3").replace("null]", "12:30]"))
    assert values(path=path).prompts == ["yes", "1e3", "off", "12:30"]
    path = file(tmp_path, "pipeline: text_to_video\nprompts: a red circle\nformats: gif\n")
    assert (values(path=path).prompts, values(path=path).formats) == (["a red circle"], ["gif"])


def test_a_list_parts_at_commas_alone():
    typed = '[it\'s a #1 cat, a: b, \'one, two\', {x, y}, "say \\"hi\\""]'
    assert values(T2V, f"prompts={typed}").prompts == [
        "it's a #1 cat",
        "a: b",
        "one, two",
        "{x, y}",
        'say "hi"',
    ]
    loaded = load(None, [T2V, "prompts=[a red circle, moving right]"], InferConfig)
    assert "2 prompts: 'a red circle', 'moving right'" in loaded.notes[0]


def test_a_mapping_keeps_texts():
    scene = "{0-7: it's a #1 cat, 8-15: 'a, b', \"16\": c: d}"
    found = values("pipeline=clip_parallel", f"scenes={scene}").clip_parallel.scenes
    assert found == {"0-7": "it's a #1 cat", "8-15": "a, b", "16": "c: d"}
    assert "stands twice" in refusal("pipeline=clip_parallel", "scenes={0-7: a, 0-7: b}")
    assert "has no key" in refusal("pipeline=clip_parallel", "scenes={0-7: a, b}")
    listed = values(T2V, "scenes=[{0-1: a, 2-3: b}, {0-3: c}]").text_to_video.scenes
    assert listed == [{"0-1": "a", "2-3": "b"}, {"0-3": "c"}]
    assert values(T2V, "scenes={0-3: c}").text_to_video.scenes == [{"0-3": "c"}]


@pytest.mark.parametrize("word", ["on", "off", "auto"])
def test_a_choice_has_its_words(word, tmp_path):
    assert values(T2V, "prompt=a", f"latent.dynamic_scale={word}").latent.dynamic_scale == word
    path = file(tmp_path, f"pipeline: text_to_video\nprompt: a\nenv: {{native: {word}}}\n")
    assert values(path=path).env.native == word


@pytest.mark.parametrize(
    ("word", "truth"),
    [("yes", True), ("on", True), ("true", True), ("no", False), ("off", False), ("False", False)],
)
def test_a_truth_has_its_words(word, truth):
    pairs = [T2V, "prompt=a", "sample.guidance=2", f"two_passes={word}"]
    assert values(*pairs).text_to_video.two_passes is truth


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([T2V, "sample.sampler=DDIM"], "Did you mean 'ddim'?"),
        ([T2V, "sample.steps=-1"], "the command line: sample.steps is -1; it must be at least 1"),
        ([T2V, "sample.guidance=nan"], "finite number"),
        ([T2V, "sample.guidance=.inf"], "finite number"),
        ([T2V, "seed=inf"], "it must be a whole number"),
        ([T2V, "frames=1e30"], "the largest whole number"),
        ([T2V, "frames=99999999"], "it must be at most 10000000"),
        ([T2V, "frames=many"], "it must be a whole number"),
        ([T2V, "size=48x64"], "write size=[48, 64]"),
        ([T2V, "size=48,64"], "write size=[48, 64]"),
        ([T2V, "size=48"], "it must be [height, width]"),
        ([T2V, "formats=[]"], "formats is empty"),
        ([T2V, "formats=[gif,gif]"], "each is named once"),
        ([T2V, "formats=mpeg"], "it must be one of mp4"),
        ([T2V, "lengths=[16,16]"], "lengths belongs to pipeline=hierarchical or clip_parallel"),
        ([T2V, "hierarchical.lengths=[16]"], "belongs to pipeline=hierarchical; this is"),
        (["pipeline=pixel", "negative=ugly"], "pixel models have no negative prompt"),
        (["train.steps=3"], "train.steps belongs to train.py"),
        (["stepz=3"], "Did you mean 'steps'?"),
        (["prompt"], "keys are written key=value"),
        (["configs/infer/quickstart.yaml"], "--config configs/infer/quickstart.yaml"),
        (["output=${oc.env:HOME}"], "nothing else is looked up"),
        (["output=${nothing}"], "which is no key"),
        (["output=${output}"], "refers to itself"),
        (["prompt=\udcff"], "UTF-8"),
    ],
)
def test_what_cannot_be_is_answered_in_one_sentence(pairs, said):
    assert said in refusal(*pairs)


FLOATS = ["train.lr", "train.eps", "train.clip_norm", "diffusion.shift", "data.speed"]


@pytest.mark.parametrize("word", ["nan", ".nan", "inf", "-inf", ".inf", "1e999"])
@pytest.mark.parametrize("key", FLOATS)
def test_no_number_is_infinite(key, word):
    assert "finite number" in refusal(TINY, f"{key}={word}", schema=TrainConfig)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nfps: 3\nseed: 2\n", "'seed' stands twice, in line 1 and in line 3"),
        ("sample: {steps: 1, steps: 2}\n", "'sample.steps' stands twice"),
        ("", "is empty"),
        ("# only words\n", "is empty"),
        ("- a\n", "holds a list"),
        ("words\n", "holds the text 'words'"),
        ("a: [\n", "is not readable YAML"),
        ("fps: 3\n\nseed: many\n", "line 3: seed is 'many'"),
        ("sample:\n  steps: 0\n", "line 2: sample.steps is 0"),
        ("sample: 5\n", "sample is a group of keys"),
        ("prompt: !!python/name:os.system\n", "is not read; values are plain data"),
        ("a: &x [*x]\n", "alias"),
    ],
)
def test_a_file_is_blamed_with_its_line(tmp_path, text, said):
    message = refusal(path=file(tmp_path, text))
    assert "given.yaml" in message and said in message


def test_a_resolver_reads_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "of-mine")
    words = "${oc.env:SECRET}"
    path = file(tmp_path, f'pipeline: text_to_video\nprompts: ["{words}"]\n')
    loaded = load(path, [], InferConfig)
    assert loaded.values.prompts == [words] and "of-mine" not in loaded.text
    assert "of-mine" not in refusal(TINY, f"run_dir={words}", schema=TrainConfig)
    model = file(tmp_path, f"family: vdm\ndim: {words}\n")
    with pytest.raises(ConfigError) as caught:
        load_model(model)
    assert "of-mine" not in str(caught.value)


def test_a_path_may_name_another_key(tmp_path):
    path = file(tmp_path, "output: ${weights}/videos\nprompt: ${weights}\n")
    found = values("weights=mine", path=path)
    assert (found.output, found.prompt) == ("mine/videos", "${weights}")


GIVEN = "pipeline: text_to_video\nprompts: [a, b]\ntext_to_video: {scenes: [{0-3: c}]}\n"


@pytest.mark.parametrize(
    ("pair", "prompts", "scenes"),
    [
        ("prompt=x", ["x"], []),
        ("prompts=[x, y]", ["x", "y"], []),
        ("scenes=[{0-1: x}]", [], [{"0-1": "x"}]),
        ("seed=3", ["a", "b"], [{"0-3": "c"}]),
    ],
)
def test_what_is_shown_by_the_command_line_replaces_the_files(tmp_path, pair, prompts, scenes):
    loaded = load(file(tmp_path, GIVEN), [pair], InferConfig)
    assert loaded.values.wanted_prompts() == prompts
    assert loaded.values.text_to_video.scenes == scenes
    assert pair == "seed=3" or "replaces" in " ".join(loaded.notes)


def test_one_of_two_ways_replaces_the_other(tmp_path):
    path = file(tmp_path, "pipeline: interpolate\ninterpolate: {factor: 4, video: a.mp4}\n")
    own = values("factors=[2,2]", "images=[b, c]", path=path).interpolate
    assert (own.factor, own.stages(), own.video, own.images) == (0, (2, 2), "", ["b", "c"])


def test_the_warm_up_follows_a_short_run(tmp_path):
    path = file(tmp_path, f"{TINY.replace('=', ': ', 1)}\ntrain: {{steps: 900, warmup: 100}}\n")
    loaded = load(path, ["train.steps=60"], TrainConfig)
    assert loaded.values.train.warmup == 6 and "train.warmup is 100" in loaded.notes[0]
    both = ["train.steps=60", "train.warmup=100"]
    assert "longer than the 60 steps" in refusal(*both, path=path, schema=TrainConfig)


def test_an_idle_key_is_refused_or_said_by_who_set_it(tmp_path):
    idle = ["sample.sampler=euler", "sample.eta=0.5"]
    with pytest.raises(UnreadKey, match="sample.eta is not read where sample.sampler is euler"):
        load(None, [T2V, "prompt=a", *idle], InferConfig)
    path = file(tmp_path, "pipeline: text_to_video\nprompt: a\nsample: {eta: 0.5}\n")
    loaded = load(path, ["sample.sampler=euler"], InferConfig)
    assert "line 3: sample.eta is not read" in loaded.notes[0]
    assert not load(None, [T2V, "prompt=a", idle[0], "sample.eta=0"], InferConfig).notes


def test_the_saved_configuration_of_a_run_is_no_users(tmp_path):
    """It holds every key; what an older version did not refuse is said, and the run loads."""
    text = load(None, [TINY], TrainConfig).text.replace("terminal_clips: 3072", "terminal_clips: 9")
    path = file(tmp_path, text)
    loaded = load(path, [], TrainConfig)
    assert any("diffusion.terminal_clips is not read where" in n for n in loaded.notes)
    with pytest.raises(UnreadKey, match="latents.vae"):
        load(path, ["latents.vae=x"], TrainConfig)


def test_a_key_given_twice_is_said():
    notes = load(None, [T2V, "prompt=a", "seed=1", "seed=2"], InferConfig).notes
    assert notes == ("seed is given twice; the last, 2, is taken",)


def test_a_comment_that_may_have_been_meant_is_said(tmp_path):
    path = file(tmp_path, "pipeline: text_to_video\nprompt: it's a #1 cat\nseed: 3 # of mine\n")
    loaded = load(path, [], InferConfig)
    assert loaded.values.prompt == "it's a" and "#1 cat is a comment" in loaded.notes[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prompt", "a red circle"], "prompt='a red circle'"),
        (["--seed=3"], "seed=3"),
        (["--stepz", "3"], "sample.steps=3"),
        (["--dryrun"], "Did you mean --dry_run?"),
    ],
)
def test_an_option_that_is_a_key_is_answered_with_the_key(words, said):
    parser = KeyParser(["prompt", "seed", "sample.steps"], InferConfig, "infer", "")
    parser.add_argument("--dry_run", action="store_true")
    parser.add_argument("overrides", nargs="*")
    with pytest.raises(ConfigError) as caught:
        parser.read(words)
    assert said in str(caught.value)
    assert parser.read(["--dry_run", "seed=3"]).overrides == ["seed=3"]


def test_flow_parts_keep_what_is_inside():
    assert flow.parts("[a, [b, c], 'd, e', ]") == ["a", "[b, c]", "'d, e'"]
    assert flow.entries("{time: 'window:5', space:0.5}")[0] == ("time", "'window:5'")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("damo-vilab/text-to-video-ms-1.7b", "huggingface-cli download damo-vilab/text-to-video"),
        ("https://huggingface.co/a/b", "huggingface-cli download a/b"),
        ("https://example.org/x.pt", "an address is not opened"),
        ("~/x", "~ is not expanded"),
        ("runs/mine", ""),
        ("a/b/c", ""),
        ("./a/b", ""),
    ],
)
def test_a_name_of_a_hub_is_answered_with_the_way_to_its_folder(place, said):
    assert said in advice(place) and bool(said) == bool(advice(place))


def test_a_key_of_one_format_needs_that_format_among_those_written():
    said = ["pipeline=pixel", "gif_max_mb=3"]
    with pytest.raises(
        UnreadKey, match=r"where formats is \[mp4, png\]; it belongs to formats=gif"
    ):
        load(None, [*said, "formats=[mp4,png]"], InferConfig)
    assert load(None, [*said, "formats=[mp4,gif]"], InferConfig).values.gif_max_mb == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["size=[512,512]", "scale=64"], "size is .*512, 512.* and scale 64; files have at most"),
        (["scale=1000"], "scale is 1000; it must be at most 256"),
        (["fps=100000"], "fps is 100000; it must be at most 1000"),
        (["output="], "the command line: output is empty"),
    ],
)
def test_files_that_no_format_holds_are_refused_before_they_are_made(words, said):
    with pytest.raises(ConfigError, match=said):
        load(None, ["pipeline=pixel", *words], InferConfig)


def test_a_key_given_twice_is_said_also_where_a_group_holds_it():
    """A command line has an order and its last word counts; a call has none, and is refused."""
    loaded = load(None, [T2V, "sample={steps: 3}", "sample.steps=4"], InferConfig)
    assert loaded.values.sample.steps == 4
    assert any("sample.steps is given twice; the last, 4" in note for note in loaded.notes)
    for more in ({"sample.steps": 4}, {"sample__steps": 4}):
        with pytest.raises(ConfigError, match="the call: sample.steps is given twice"):
            load(None, {"pipeline": "text_to_video", "sample": {"steps": 3}, **more}, InferConfig)
    keys = {"pipeline": "text_to_video", "latent": {"chunk": 3}}
    held = load(None, keys, InferConfig, held={"latent.chunk": 2})
    assert held.values.latent.chunk == 3 and not held.notes, "the call rules over the loading"
