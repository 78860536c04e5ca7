"""Where the page keeps things, and which folders of the machine it was told of.

HOME/users/OWNER/uploads/up-0123456789abcdef.png   what a person gave, checked
HOME/users/OWNER/jobs/0001/                        a job: what was asked, what was said, its runs
HOME/served/                                       copies that the browser fetches
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mindlong.utils import system
from mindlong.utils.errors import ConfigError

OWNER = SECRET = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Place:
    """What the page was started with.

    Attributes:
        home: its own folder.
        weights: folders whose files may be named as weights.
        trainings: folders of trainings, which may be watched and named as weights.
        outputs: folders of runs made by commands, which everybody at the page may look at.
        jobs: so many are run at the same time.
        upload_mb: the largest upload in MiB. upload_frames: its most frames.
        quota_mb: of all uploads of one person.
    """

    home: Path
    weights: tuple[Path, ...] = ()
    trainings: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()
    jobs: int = 1
    upload_mb: int = 200
    upload_frames: int = 3000
    quota_mb: int = 2000

    @property
    def served(self) -> Path:
        """What Gradio may send to browsers."""
        return self.home / "served"

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders that a person may name files of."""
        return (*self.weights, *self.trainings)

    def prepare(self) -> None:
        """Make the folders, for this user of the machine alone.

        Raises:
            SystemFault: they cannot be made. ConfigError: a folder named at the start is missing.
        """
        for folder in (*self.weights, *self.trainings, *self.outputs):
            if not folder.is_dir():
                raise ConfigError(f"there is no folder {folder}; the page is to show it")
        with system.explained(self.home, "--home"):
            for folder in (self.home, self.home / "users", self.served):
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o700)

    def person(self, owner: str) -> Person:
        """The folders of one person. Raises ConfigError where `owner` is no name of ours."""
        if not OWNER.fullmatch(owner):
            raise ConfigError("this browser is not known here; load the page again")
        return Person(owner, self.home / "users" / owner)

    def people(self) -> list[Person]:
        """Everybody who has made something."""
        found = sorted((self.home / "users").iterdir())
        return [Person(p.name, p) for p in found if OWNER.fullmatch(p.name) and p.is_dir()]


@dataclass(frozen=True)
class Person:
    """Who jobs and uploads belong to: a user who logged in, else a browser."""

    owner: str
    folder: Path

    @property
    def uploads(self) -> Path:
        """What was given."""
        return self.folder / "uploads"

    @property
    def jobs(self) -> Path:
        """What was asked for."""
        return self.folder / "jobs"


def owner_of_user(name: str) -> str:
    """The owner that a logged-in user is; the same after every start."""
    return sha256(f"mindlong user {name}".encode()).hexdigest()[:32]


def owner_of_browser(secret: str) -> str:
    """The owner that a browser with this cookie is; '' where it is none of ours. Names of folders,
    which a person may show to others, do not give the cookie away.
    """
    return (
        sha256(f"mindlong browser {secret}".encode()).hexdigest()[:32]
        if SECRET.fullmatch(secret)
        else ""
    )


def new_secret() -> str:
    """A cookie for a browser that has none: 128 random bits, which nobody guesses."""
    return secrets.token_hex(16)
