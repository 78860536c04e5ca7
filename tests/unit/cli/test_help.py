"""What `--help` says, of every command, pipeline, training, family and key."""

import importlib
import sys

import pytest

from mindlong.cli import commands
from mindlong.cli.guard import start
from mindlong.config import tasks
from mindlong.config.help import COLUMNS, everything, keys_of, topic
from mindlong.config.infer_schema import InferConfig
from mindlong.config.pipelines import PIPELINES, reader
from mindlong.config.schema import TrainConfig
from mindlong.networks import table
from mindlong.utils.errors import ConfigError

WIDEST = 119
SHORT = 60  # lines


def helped(capsys, command, *words):
    with pytest.raises(SystemExit) as left:
        importlib.import_module(f"mindlong.cli.{command}").main([*words])
    assert not left.value.code
    return capsys.readouterr().out


def named(text):
    """The words at the beginning of the lines of keys."""
    lines = text.splitlines()
    return [line.split()[0] for line in lines if line[:2] == "  " and line[2] != " "]


def widest(text):
    return max(map(len, text.splitlines()))


@pytest.mark.parametrize("started", ["script", "installed"])
@pytest.mark.parametrize("module", sorted(commands.SCRIPTS))
def test_no_line_of_any_command_is_wide(module, started, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "400")
    name = commands.SCRIPTS[module] if started == "script" else commands.console(module)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit):
        start(module)
    assert widest(capsys.readouterr().out) <= WIDEST


@pytest.mark.parametrize("schema", [InferConfig, TrainConfig])
def test_no_line_of_all_keys_is_wide_and_none_is_left_out(schema):
    text = everything(schema)
    assert widest(text) <= COLUMNS <= WIDEST
    keys = set(named(text))
    schemas = [schema, *(entry.schema for entry in PIPELINES.values() if schema is InferConfig)]
    own = [[row for row in keys_of(s) if row[0].split(".")[0] in PIPELINES] for s in schemas]
    assert {row[0] for rows in [list(keys_of(schema)), *own] for row in rows} <= keys


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_shows_the_keys_that_it_reads_a_line_each(name):
    text = topic(InferConfig, [f"pipeline={name}"])
    assert widest(text) <= WIDEST
    shown = named(text)
    reads = reader(name)
    assert sorted(shown) == sorted(
        key for key, *_ in keys_of(PIPELINES[name].schema) if reads.covers(key)
    )


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_training_shows_the_keys_that_it_reads_a_line_each(name):
    text = topic(TrainConfig, [f"task={name}"])
    assert widest(text) <= WIDEST and "family=NAME" in text
    shown = named(text)
    reads = tasks.reader(name)
    assert {key for key, *_ in keys_of(TrainConfig) if reads.covers(key)} <= set(shown)
    assert "model.family" not in shown


@pytest.mark.parametrize("family", table.families())
def test_a_family_shows_its_keys(family):
    text = topic(TrainConfig, [f"family={family}"])
    assert "model.family" in text and widest(text) <= WIDEST


@pytest.mark.parametrize(("schema", "kept"), [(InferConfig, "sample.eta"), (TrainConfig, "seed")])
def test_a_key_is_explained_in_full_and_lines_of_it_fit(schema, kept):
    assert all(widest(topic(schema, [row[0]])) <= WIDEST for row in keys_of(schema))
    assert kept in topic(schema, [kept])


def test_the_defaults_are_those_of_the_pipeline():
    assert "[shipped:vdm_shapes]" in topic(InferConfig, ["pixel"])
    assert "[shipped:latent_shapes]" in topic(InferConfig, ["edit"])


@pytest.mark.parametrize("command", ["infer", "train"])
def test_help_alone_is_short(command, capsys):
    text = helped(capsys, command, "--help")
    assert len(text.splitlines()) < SHORT and "--help all" in text


@pytest.mark.parametrize(
    "words",
    [
        ["--help", "pipeline=edit"],
        ["pipeline=edit", "-h"],
        ["--help=edit"],
        ["--config", "x.yaml", "--help", "edit"],
    ],
)
def test_words_stand_behind_or_before(words, capsys):
    assert helped(capsys, "infer", *words).startswith("pipeline edit: ")


def test_a_prompt_beside_help_is_no_question(capsys):
    assert helped(capsys, "infer", "prompt=a cat", "--help").startswith("usage: ")


@pytest.mark.parametrize(
    ("schema", "word", "hint"),
    [
        (InferConfig, "pipeline=edti", "'edit'"),
        (InferConfig, "edti", "'edit'"),
        (InferConfig, "sample.stesp", "'sample.steps'"),
        (InferConfig, "task=tune", "pipeline="),
        (InferConfig, "qqqq", "pipeline=NAME"),
        (TrainConfig, "task=tunne", "'tune'"),
        (TrainConfig, "family=modlscope", "'modelscope'"),
        (TrainConfig, "pipeline=edit", "task="),
    ],
)
def test_a_name_that_there_is_not_is_answered_with_the_nearest(schema, word, hint):
    with pytest.raises(ConfigError) as refused:
        topic(schema, [word])
    said = str(refused.value)
    assert hint in said and word in said and "\n" not in said
