"""The key `scenes`: prompts by frames of the finished video, in the place of one prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mindlong.config.option import option
from mindlong.plans.frame_prompts import check, title
from mindlong.utils.errors import ConfigError


@dataclass
class SceneOptions:
    """A section whose video can have prompts by frames."""

    scenes: dict[str, str] = option(
        {},
        "what the frames of the video show, in the place of a prompt: {0-15: a red circle, 16-31: a blue circle}; with "
        "single frames as keys one prompt turns into the next: {0: spring, 31: autumn}",
        text=True,
    )

    def told(self, prompts: list[str]) -> list[str]:
        """A line for each video: its scenes, or `prompts`."""
        return [title(self.scenes)] if self.scenes else prompts

    def unread_prompts(self, name: str) -> Iterator[tuple[str, str]]:
        """(key, reason) of what scenes leave unread; `name` is that of the section."""
        for key in ("prompt", "prompts") if self.scenes else ():
            yield key, f"is not read, because {name}.scenes says what every frame shows"

    def scene_problems(self, name: str) -> Iterator[str]:
        """Sentences on scenes that cannot be read."""
        try:
            if self.scenes:
                check(self.scenes)
        except ConfigError as error:
            yield f"{name}.scenes: {error}"
