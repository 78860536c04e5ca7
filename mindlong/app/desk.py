"""What a person at the page may do: plan, start, stop, go on, make again. Everything is checked
here before a process is started, by the same loading that infer.py does.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mindlong.app import allowed, child, estimate, uploads
from mindlong.app.form import Form, more_of, tree_of
from mindlong.app.job import Job, job_of, jobs_of, new_folder
from mindlong.checkpoints.locate import SHIPPED
from mindlong.config.file_keys import FILES, LORAS, WEIGHTS
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import Loaded, load
from mindlong.config.yaml_file import Tree
from mindlong.pipelines import recipe
from mindlong.utils import atomic, plain_yaml
from mindlong.utils.errors import ConfigError, UserError

if TYPE_CHECKING:
    from mindlong.app.place import Person, Place

PLAN_SECONDS = 120
FIRST_ROW = "mindlong "  # with which the rows of a dry run begin
MOST_WAITING = 50


@dataclass(frozen=True)
class Plan:
    """What a dry run says: its rows and notes, and how long the run may take."""

    rows: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    time: str


@dataclass(frozen=True)
class Desk:
    """The doings of one person."""

    place: Place
    person: Person

    def upload(self, path: object) -> Path:
        """Keep what a browser has uploaded. Raises as `uploads.received` and `uploads.keep`."""
        return uploads.keep(uploads.received(path, self.place.served), self.place, self.person)

    def plan(self, form: Form) -> Plan:
        """The plan of a form, by `infer.py --dry_run`. Raises UserError with its sentence."""
        loaded = self._loaded(form)
        asked = self.person.folder / "plans" / f"{secrets.token_hex(8)}.yaml"
        try:
            atomic.write_text(asked, _text(loaded, self.person.folder / "plans" / "none"))
            said = self._dry_run(["--config", str(asked), "--dry_run"])
        finally:
            asked.unlink(missing_ok=True)
        rows, notes = rows_of(said)
        return Plan(rows, notes, estimate.sentence(loaded.values, jobs_of(self.person.jobs)))

    def submit(self, form: Form) -> Job:
        """Put a form into the queue. Raises ConfigError as loading does."""
        loaded = self._loaded(form)
        self._check_queue()
        folder = new_folder(self.person.jobs)
        config = folder / "config.yaml"
        atomic.write_text(config, _text(loaded, folder / "runs"))
        return self._made(folder, loaded.values, ["--config", str(config)])

    def again(self, file: Path, config_text: str, seed: int) -> Job:
        """Make the video of a file again, from the recipe in it, with another seed.

        Args:
            file: of a run. config_text: that run's configuration, which says where its files lie.

        Raises:
            InputFileError: the file keeps no recipe. ConfigError: files that may not be read.
        """
        found = recipe.read(file)
        given = dict(_places(plain_yaml.read(config_text)))
        keys = {"seed": seed, "preview_every": _previews(config_text), **given}
        words = {key: str(value) for key, value in keys.items()}
        tree = recipe.tree_of(found, words)
        loaded = self._checked(load(None, _pairs(keys), InferConfig, saved=True, tree=tree))
        self._check_queue()
        folder = new_folder(self.person.jobs)
        arguments = ["--from", str(file), *_pairs({**keys, "output": str(folder / "runs")})]
        return self._made(folder, loaded.values, arguments)

    def job(self, name: str) -> Job:
        """A job of the person's own. Raises ConfigError where there is none."""
        return job_of(self.person.jobs, name)

    def jobs(self) -> list[Job]:
        """All jobs of the person, the newest first."""
        return jobs_of(self.person.jobs)

    def stop(self, name: str) -> Job:
        """Stop a job, or take it out of the queue."""
        job = self.job(name)
        child.stop(job)
        return job

    def go_on(self, name: str) -> Job:
        """Put a job that was stopped or has failed into the queue again: the same command goes on
        where it was.
        """
        job = self.job(name)
        if job.state() not in ("stopped", "failed"):
            raise ConfigError(f"job {job.name} is {job.state()}; only a stopped one can go on")
        self._check_queue()
        job.unmark("stopped")
        job.mark("waiting")
        return job

    def _loaded(self, form: Form) -> Loaded:
        tree = Tree("the form", tree_of(form))
        return self._checked(load(None, more_of(form), InferConfig, tree=tree))

    def _checked(self, loaded: Loaded) -> Loaded:
        allowed.check(loaded, self.place, self.person)
        return loaded

    def _check_queue(self) -> None:
        waiting = sum((job.folder / "waiting").exists() for job in self.jobs())
        if waiting >= MOST_WAITING:
            raise ConfigError(f"{waiting} jobs of yours are waiting already; stop some of them")

    def _made(self, folder: Path, config: Any, arguments: Sequence[str]) -> Job:
        about = {
            "title": title_of(config),
            "pipeline": config.pipeline,
            "weights": config.weights,
            "seed": config.seed,
            "arguments": list(arguments),
            "work": estimate.work_of(config),
        }
        job = Job(folder)
        job.mark("job.json", **about)
        job.mark("waiting")
        return job

    def _dry_run(self, arguments: Sequence[str]) -> str:
        self.person.uploads.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(
                child.command(arguments),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd=self.person.uploads,
                env=child.environment(),
                timeout=PLAN_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"the plan was not made within {PLAN_SECONDS} seconds") from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise UserError(said[-1].removeprefix("error: ") if said else "the plan failed")
        return done.stdout.decode("utf-8", "replace")


def rows_of(said: str) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """(name, words) of the rows of a dry run, and its notes. Lines that are set in belong to the
    row above.
    """
    lines = said.splitlines()
    begin = next((n for n, line in enumerate(lines) if line.startswith(FIRST_ROW)), len(lines))
    rows: list[tuple[str, str]] = []
    notes: list[str] = []
    for line in lines[begin + 1 :]:
        name, gap, words = line.partition("  ")
        if line.startswith("note: "):
            notes.append(line.removeprefix("note: "))
        elif line.startswith("  ") and rows:
            rows[-1] = (rows[-1][0], f"{rows[-1][1]}\n{line.strip()}")
        elif gap:
            rows.append((name.strip(), _shipped(words.strip())))
    return tuple(rows), tuple(notes)


def _shipped(words: str) -> str:
    """Words of a row with what comes with mindlong called as people call it."""
    return words.replace(f"{SHIPPED}/", "shipped:")


def title_of(config: Any) -> str:
    """What a run shows, in a line."""
    prompts = config.wanted_prompts()
    own = config.own
    scenes = getattr(own, "scenes", None) or getattr(own, "scene", None) or []
    scenes = scenes if isinstance(scenes, list) else [scenes]
    told = [*prompts, *(" / ".join(map(str, each.values())) for each in scenes)]
    shown = " | ".join(" ".join(prompt.split()) for prompt in told) or "no prompt"
    return shown if len(shown) <= 100 else f"{shown[:97]}..."


def _text(loaded: Loaded, output: Path) -> str:
    """The resolved configuration, with the page's place for what is made."""
    tree = plain_yaml.read(loaded.text)
    tree["output"] = str(output)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _places(tree: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(key, value) of the keys of a run that name files, as far as they do."""
    found = []
    for key in (*WEIGHTS, *FILES, LORAS):
        node: Any = tree
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        if node:
            found.append((key, node))
    return found


def _previews(config_text: str) -> int:
    return int(plain_yaml.read(config_text).get("preview_every", 0) or 0)


def _pairs(keys: Mapping[str, Any]) -> list[str]:
    """Arguments of infer.py: lists and words as YAML has them in one line."""
    return [f"{key}={_words(value)}" for key, value in keys.items()]


def _words(value: Any) -> str:
    if isinstance(value, list):
        return yaml.safe_dump(value, default_flow_style=True, width=10**6).strip()
    return str(value)
