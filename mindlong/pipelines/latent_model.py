"""The networks of a latent pipeline behind numpy arrays: text to vectors, latents to predictions,
frames to latents and back.

Legend: B videos, C channels of a latent, F frames, h w latent pixels, H W pixels, S tokens, D their
width.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, nn

from mindlong.data.source import to_frames, to_network
from mindlong.networks.network import Network, made
from mindlong.networks.streams import Streams, decode_frames, encode_frames
from mindlong.pipelines.cells import Builder, Cells, Latest
from mindlong.pipelines.wording import Wording, states_of, wording_of
from mindlong.utils.errors import ConfigError
from mindlong.utils.log import get_logger
from mindlong.utils.sizes import divisible

if TYPE_CHECKING:
    from mindlong.checkpoints.parts import Part
    from mindlong.checkpoints.text_states import TextStates
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.noising import Noising

GREY = 127.5  # 0 in [-1, 1]
KEPT = 64  # images whose tokens are kept, 1 MiB each at the published size
HELD_TEXTS = 1024  # texts whose vectors are kept, the latest


class LatentModel(Cells):
    """A network that denoises latents, with its autoencoder, text encoder, tokenizer and noising
    process.

    Each network is built when it is first used and can be let go again (`release`), so that they
    need not all be in memory.

    Args:
        builders: role -> how that network is made and filled.
        parts: role -> the network's entry in the table and its frozen spec: network, vae,
            text_encoder; for a network that reads images also image_encoder, projector.
        tokenizer: prompts to ids of the text encoder.
        noising: the process that the network was trained on.
        size: frames, height and width (pixels) where the user says nothing.
        held: role -> the network with its tensors, which `builders` read; `swap_loras` changes it.
        unmerged: the same without LoRAs.
        loras: those that are in the networks, as they were named.
        lora_stamps: what tells the content of their files from another.
        chunk: frames encoded or decoded at a time.
        dtype: of the network and the autoencoder.
        unconditional: what the unconditional call of guidance reads in the place of a prompt, of
            negative and zeros; "": as the network was published.
        states: where states of prompts are kept from run to run; None: nowhere.

    Attributes:
        keep: see `Cells`.
        wording: how prompts are read; `worded` changes it.
        built: what runs have put on the network (its sharded form, gates), by name; goes with it.
    """

    def __init__(
        self,
        builders: Mapping[str, Builder],
        parts: Mapping[str, tuple[Network, Any]],
        tokenizer: Any,
        noising: Noising,
        *,
        held: Mapping[str, Part] | None = None,
        unmerged: Mapping[str, Part] | None = None,
        loras: tuple[str, ...] = (),
        lora_stamps: tuple[object, ...] = (),
        size: tuple[int, int, int] = (16, 256, 256),
        chunk: int = 4,
        dtype: str = "float32",
        unconditional: str = "",
        states: TextStates | None = None,
    ) -> None:
        super().__init__(builders)
        self.unconditional, self.states, self.parts = unconditional, states, dict(parts)
        self.held = dict(held or {})
        self.unmerged = {**self.held, **(unmerged or {})}
        self.loras, self.lora_stamps = loras, lora_stamps
        self.tokenizer, self.noising = tokenizer, noising
        self.size, self.chunk, self.dtype = size, chunk, dtype
        entry, self.spec = self.parts["network"]
        self.family, self.denoises = entry.family, entry.denoiser
        self.vae_spec = self.parts["vae"][1]
        self.takes = self.denoises.takes(self.spec)
        self.built: dict[str, Any] = {}
        self._streams: Streams | None = None
        self.wording = Wording()
        self._image_cell: nn.Cell | None = None
        self._texts, self._images = Latest(HELD_TEXTS), Latest(KEPT)

    @property
    def network(self) -> nn.Cell:
        """What denoises, built at the first use."""
        return self._cell("network")

    @property
    def vae(self) -> nn.Cell:
        """The autoencoder, built at the first use."""
        return self._cell("vae")

    @property
    def text_encoder(self) -> nn.Cell:
        """The text encoder, built at the first use."""
        return self._cell("text_encoder")

    @property
    def wants_fps(self) -> bool:
        """Whether the network is conditioned on the frame rate."""
        return "fps" in self.takes

    @property
    def told(self) -> bool:
        """Whether the network is told its guidance, and asked once a step."""
        return "guidance" in self.takes

    def forget_texts(self) -> None:
        """Have every prompt encoded again: the text encoder has changed."""
        self._texts.clear()

    def release(self, role: str) -> None:
        """Let a network go, if the model is not kept; it is built again when it is used again.
        Texts and images already encoded stay.
        """
        super().release(role)
        if self.keep:
            return
        if role == "network":
            self.built.clear()
        if role == "vae":
            self._streams = None
        if role == "image_encoder":
            self._image_cell = None

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """(C, F, h, w) of a video of that many frames and pixels. Raises ConfigError where the
        pixels do not divide.
        """
        vae = self.vae_spec
        divisible((height, width), vae.factor, self.denoises.side(self.spec))
        latents = vae.latents_of(frames)
        return vae.latent_channels, latents, height // vae.factor, width // vae.factor

    def worded(self, config: Any) -> LatentModel:
        """The model, which from now on reads prompts as a configuration of infer.py says. Raises
        ConfigError.
        """
        self.wording = wording_of(config, self.tokenizer)
        return self

    def encode_text(self, prompts: Sequence[str]) -> np.ndarray:
        """(len(prompts), S, D) float32, the hidden states that the network reads. Equal prompts are
        encoded once.
        """
        encode, how = self._encode_one, self.wording
        found = [self._texts.of((how, p), functools.partial(encode, p)) for p in prompts]
        return np.stack(found)

    def null_text(self, negative: str, context: np.ndarray) -> np.ndarray:
        """What the unconditional call of guidance has in the place of `context`, shaped like it:
        the states of the negative prompt, or zeros where the network was trained so.
        """
        rule = self.unconditional or self.denoises.null.get("context", "same")
        if rule == "zeros":
            return np.zeros_like(context)
        if rule == "same":
            return context
        return np.broadcast_to(self.encode_text([negative])[0], context.shape)

    def image_tokens(self, image_HWC: np.ndarray) -> np.ndarray:
        """(T, D) float32, what a network of images reads of an image, uint8 (H, W, 3). Equal images
        are encoded once, as long as not too many others come between.
        """
        key = hashlib.sha256(str(image_HWC.shape).encode() + image_HWC.tobytes()).digest()
        return self._images.of(key, lambda: self._tokens_of(image_HWC))

    def null_tokens(self) -> np.ndarray:
        """(T, D) float32, what the unconditional call has in their place: those of a grey image."""
        entry, spec = self.parts["image_encoder"]
        return self.image_tokens(np.full((spec.size, spec.size, 3), GREY, np.float32))

    def _tokens_of(self, image_HWC: np.ndarray) -> np.ndarray:
        entry, spec = self.parts["image_encoder"]
        ready = made(entry.image.squash)(image_HWC[None], spec)
        if self._image_cell is None:
            self._image_cell = made(entry.image.tokens)(self._cell("image_encoder"))
        tokens = self._run("image_encoder", self._image_cell.set_train(False), Tensor(ready))
        return self._run("projector", self._cell("projector"), Tensor(tokens))[0]

    def predict(
        self,
        x_BCFHW: np.ndarray,
        t_B: np.ndarray,
        context: np.ndarray,
        fps: np.ndarray | float | None = None,
        **more: np.ndarray,
    ) -> np.ndarray:
        """The network's prediction, float32 shaped like the latents.

        Args:
            x_BCFHW: noisy latents.
            t_B: timesteps.
            context: (B, S, D), or (B, F, S, D) with a prompt for each frame.
            fps: frames per second, one number or (B,), where the network takes it.
            more: what else the network takes, by name.

        Raises:
            ConfigError: not what the network takes.
        """
        given: dict[str, Any] = {"context": context, **more}
        if fps is not None:
            given["fps"] = np.broadcast_to(np.asarray(fps, np.float32), (len(x_BCFHW),))
        if set(given) != set(self.takes):
            raise ConfigError(
                f"the network of the family {self.family} takes {', '.join(self.takes)}; given were {', '.join(given)}"
            )
        inputs = [x_BCFHW, t_B, *(given[name] for name in self.takes)]
        tensors = [Tensor(np.ascontiguousarray(array, np.float32)) for array in inputs]
        return self._run("network", self.network, *tensors)

    def denoiser(
        self,
        context: np.ndarray,
        fps: np.ndarray | float | None = None,
        guidance: float | None = None,
    ) -> Model:
        """`predict` with its conditions inside: a model for `mindlong.diffusion.samplers`.

        `fps` and `guidance` are passed on only to a network that takes them. To one that takes mask
        and known latents nothing is known.
        """
        rate = fps if self.wants_fps else None
        more = {"guidance": np.full(len(context), guidance, np.float32)} if self.told else {}
        if "hint" not in self.takes:
            return lambda x, t: self.predict(x, t, context, rate, **more)

        def unhinted(x: np.ndarray, t: np.ndarray) -> np.ndarray:
            hint = np.zeros((len(x), x.shape[1] + 1, *x.shape[2:]), np.float32)
            return self.predict(x, t, context, rate, hint=hint, **more)

        return unhinted

    def encode(self, frames_FHWC: np.ndarray, noise_FChw: np.ndarray | None = None) -> np.ndarray:
        """Latents (C, F, h, w) of uint8 frames: the mode of the posterior, or a sample where noise
        is given.
        """
        self.latent_shape(*frames_FHWC.shape[:3])
        images = to_network(frames_FHWC[None])[0].transpose(1, 0, 2, 3)
        latents = encode_frames(self.streams, images, self.vae_spec.scaling, noise_FChw)
        return np.ascontiguousarray(latents.transpose(1, 0, 2, 3))

    def encode_images(self, x_NCHW: np.ndarray) -> np.ndarray:
        """Latents (C, F, h, w), the mode of the posterior, of a video in [-1, 1], (n, 3, H, W)."""
        latents = encode_frames(self.streams, x_NCHW, self.vae_spec.scaling)
        return np.ascontiguousarray(latents.transpose(1, 0, 2, 3))

    def decode(self, latents_CFhw: np.ndarray) -> Iterator[np.ndarray]:
        """The frames of latents one by one, uint8 (H, W, 3); only `chunk` of them are held at a
        time. Raises NotFiniteError.
        """
        rows = latents_CFhw.transpose(1, 0, 2, 3)
        for images in decode_frames(self.streams, rows, self.vae_spec.scaling):
            yield from to_frames(images[:, :, None])[:, 0]

    @property
    def streams(self) -> Streams:
        """The autoencoder's halves, kept for their compiled graphs."""
        if self._streams is None:
            codec = self.parts["vae"][0].codec
            self._streams = made(codec.streams)(self.vae, self.dtype, self.chunk)
        return self._streams

    def _encode_one(self, prompt: str) -> np.ndarray:
        parts = self.wording.read(self.tokenizer, prompt)
        for part in parts:
            if part.cut:
                get_logger().warning(
                    "the last %d tokens of the prompt %r are cut off; there is room for %d",
                    part.cut,
                    prompt,
                    self.tokenizer.room,
                )
        return states_of(parts, self._states_of)

    def _states_of(self, ids: np.ndarray) -> np.ndarray:
        """(S, D), the states of tokens (1, S)."""
        found = self.states.find(ids) if self.states else None
        if found is not None:
            return found
        made_of = self._run("text_encoder", self.text_encoder, Tensor(ids))[0]
        if self.states:
            self.states.keep(ids, made_of)
        return made_of

    def _about(self) -> str:
        chunks = self.wording.chunks
        return f" and prompts of {chunks} chunks" if chunks > 1 else ""
