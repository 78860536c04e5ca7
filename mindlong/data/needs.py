"""What a training takes of its clips: channels, captions that its encoder holds, embeddings of one
width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mindlong.data.captions import cut
from mindlong.networks import table
from mindlong.networks.network import Network, made
from mindlong.utils.errors import UserError
from mindlong.utils.needed import needed

CHANNELS = 3  # of every clip: red, green, blue


@dataclass(frozen=True)
class Needs:
    """What a model takes of a clip.

    Attributes:
        channels: of its input in pixels; None: any, or unknown.
        captions: "words" for the caption encoder trained with the network, "prompt" for a text
            encoder with a tokenizer, "" where captions are not used.
        embeddings: whether `NAME.npy` is used, and `width`, its numbers.
        longest: tokens that the caption encoder holds, 0: any.
        overlong: tokens of a prompt that a tokenizer cuts off; None where there is no tokenizer.
        remedy: keys with which captions would be used.
        prompts: of the previews.
        clips: whether data.folder is read; else `videos`, files named one by one, or an `index`.
    """

    channels: int | None = None
    captions: str = "prompt"
    embeddings: bool = False
    width: int | None = None
    longest: int = 0
    overlong: Callable[[str], int] | None = field(default=None, compare=False)
    remedy: str = ""
    prompts: tuple[str, ...] = ()
    clips: bool = True
    videos: tuple[str, ...] = ()
    index: str = ""

    def problems(self) -> list[str]:
        """Sentences on what no clip can mend."""
        found = []
        if self.channels not in (None, CHANNELS):
            found.append(
                f"model.channels is {self.channels}; videos have {CHANNELS} channels: red, green and blue"
            )
        for prompt in self.prompts if self.longest else ():
            needed = cut(prompt, self.longest)[1]
            if needed > self.longest:
                found.append(
                    f"preview.prompts has {prompt!r}, {needed} tokens long; the caption encoder takes "
                    f"{self.longest}: shorten it, or raise model.text.length"
                )
        return found


def needs_of(config: Any) -> Needs:
    """What the training that `config` (a `TrainConfig`) describes takes of its clips."""
    model, prompts = config.model, tuple(config.preview.prompts)
    entry = table.get(model.family)
    if entry.denoiser is not None and entry.denoiser.space == "pixel":
        encoder = model.text.encoder
        return Needs(
            model.channels,
            "words" if encoder == "caption" else "prompt" if model.reads_prompts else "",
            encoder == "embedding",
            model.cond_dim if encoder == "embedding" else None,
            model.text.length if encoder == "caption" else 0,
            overlong=_of_source(model),
            remedy=f"model.text.encoder=caption model.cond_dim={model.cond_dim or 64}",
            prompts=prompts,
        )
    if entry.role == "vae":
        return Needs(model.channels, "")
    return Needs(
        overlong=_overlong(entry, config.latents),
        prompts=prompts,
        clips=not (config.infinet.index or config.tune.wanted),
        videos=tuple(video for video, _ in config.tune.pairs()),
        index=config.infinet.index,
    )


def _of_source(model: Any) -> Callable[[str], int] | None:
    """The same for a pixel network's captions, where a text encoder with weights of its own reads
    them.
    """
    from mindlong.checkpoints.text_source import text_source

    try:
        source = text_source(model)
    except (UserError, OSError):
        return None
    if source is None:
        return None
    room = source.part.spec.positions - 2
    return lambda caption: max(len(source.tokenizer.tokens(caption)) - room, 0)


def _overlong(entry: Network, latents: Any) -> Callable[[str], int] | None:
    """How many tokens of a caption the text encoder's tokenizer cuts off. What is wrong with the
    files is said by those who need them.
    """
    from mindlong.config.section import load_model

    if not latents.tokenizer:
        return None
    try:
        usual = table.beside(entry.family)["text_encoder"]
        section = load_model(latents.text_encoder) if latents.text_encoder else usual.keys()
        text = needed(table.get(section.family, "text_encoder").text, "text")
        return made(text.tokenizer)(latents.tokenizer, section.spec()).overlong
    except (UserError, OSError):
        return None
