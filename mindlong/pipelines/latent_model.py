"""The networks of a latent pipeline behind numpy arrays: text to vectors, latents to predictions,
frames to latents and back.

Legend: B videos, C channels of a latent, F frames, h w latent pixels, H W pixels, S tokens, D their
width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindlong.checkpoints.latent_parts import LatentParts, find_latent_parts
from mindlong.checkpoints.load import load_into
from mindlong.checkpoints.parts import Part
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.data.source import to_frames, to_network
from mindlong.diffusion.guidance import Model
from mindlong.diffusion.scheduler_config import Noising
from mindlong.networks.clip.text_cell import TextEncoder
from mindlong.networks.clip.tokenizer import ClipTokenizer, load_tokenizer
from mindlong.networks.init import initialise
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.spec import UNetSpec
from mindlong.networks.vae.cell import AutoencoderKL, Decode, Encode, decode_frames, encode_frames
from mindlong.networks.vae.spec import VaeSpec
from mindlong.utils.errors import ConfigError
from mindlong.utils.log import get_logger
from mindlong.utils.progress import announced

Builder = Callable[[], nn.Cell]


class LatentModel:
    """A UNet with its autoencoder, text encoder, tokenizer and noising process.

    Each network is built when it is first used and can be let go again (`release`), so that they
    need not all be in memory.

    Args:
        builders: how "unet", "vae" and "text_encoder" are made and filled.
        spec, vae_spec: of the UNet and the autoencoder.
        tokenizer: prompts to ids of the text encoder.
        noising: the process that the UNet was trained on.
        size: frames, height and width (pixels) where the user says nothing.
        family: of the UNet.
        chunk: frames encoded or decoded at a time.
        dtype: of the UNet and the autoencoder.
    """

    def __init__(
        self,
        builders: Mapping[str, Builder],
        spec: UNetSpec,
        vae_spec: VaeSpec,
        tokenizer: ClipTokenizer,
        noising: Noising,
        *,
        size: tuple[int, int, int] = (16, 256, 256),
        family: str = "modelscope",
        chunk: int = 4,
        dtype: str = "float32",
    ) -> None:
        self.builders, self.spec, self.vae_spec = dict(builders), spec, vae_spec
        self.tokenizer, self.noising = tokenizer, noising
        self.size, self.family, self.chunk, self.dtype = size, family, chunk, dtype
        self._cells: dict[str, nn.Cell] = {}
        self._texts: dict[str, np.ndarray] = {}
        self._compiled: set[tuple] = set()

    @property
    def unet(self) -> UNet:
        """The UNet, built at the first use."""
        return self._cell("unet")

    @property
    def vae(self) -> AutoencoderKL:
        """The autoencoder, built at the first use."""
        return self._cell("vae")

    @property
    def text_encoder(self) -> TextEncoder:
        """The text encoder, built at the first use."""
        return self._cell("text_encoder")

    @property
    def wants_fps(self) -> bool:
        """Whether the UNet is told the frame rate."""
        return "fps" in self.spec.conditions

    def release(self, name: str) -> None:
        """Let a network go; it is built again when it is used again. Texts already encoded stay."""
        for held in (name, *(("encode", "decode") if name == "vae" else ())):
            self._cells.pop(held, None)
        self._compiled = {key for key in self._compiled if key[0] != name}

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """(C, F, h, w) of a video of that many frames and pixels. Raises ConfigError where the
        pixels do not divide.
        """
        vae = self.vae_spec
        if height % vae.factor or width % vae.factor:
            raise ConfigError(
                f"size is [{height}, {width}]; both must be multiples of {vae.factor}, the pixels of a latent"
            )
        return vae.latent_channels, frames, height // vae.factor, width // vae.factor

    def encode_text(self, prompts: Sequence[str]) -> np.ndarray:
        """(len(prompts), S, D) float32, the hidden states that the UNet reads. Equal prompts are
        encoded once.
        """
        for prompt in prompts:
            if prompt not in self._texts:
                self._texts[prompt] = self._encode_one(prompt)
        return np.stack([self._texts[prompt] for prompt in prompts])

    def predict(
        self,
        x_BCFHW: np.ndarray,
        t_B: np.ndarray,
        context: np.ndarray,
        fps: np.ndarray | float | None = None,
    ) -> np.ndarray:
        """The UNet's prediction, float32 shaped like the latents.

        Args:
            x_BCFHW: noisy latents.
            t_B: timesteps.
            context: (B, S, D), or (B, F, S, D) with a prompt for each frame.
            fps: frames per second, one number or (B,), where the UNet wants to know.
        """
        inputs = [x_BCFHW, t_B, context]
        if fps is not None:
            inputs.append(np.broadcast_to(np.asarray(fps, np.float32), (len(x_BCFHW),)))
        tensors = [Tensor(np.ascontiguousarray(array, np.float32)) for array in inputs]
        return self._run("unet", self.unet, *tensors)

    def denoiser(self, context: np.ndarray, fps: np.ndarray | float | None = None) -> Model:
        """`predict` with its conditions inside: a model for `mindlong.diffusion.samplers`.

        `fps` is passed on only to a UNet that wants to know.
        """
        told = fps if self.wants_fps else None
        return lambda x, t: self.predict(x, t, context, told)

    def encode(self, frames_FHWC: np.ndarray, noise_FChw: np.ndarray | None = None) -> np.ndarray:
        """Latents (C, F, h, w) of uint8 frames: the mode of the posterior, or a sample where noise
        is given.
        """
        self.latent_shape(*frames_FHWC.shape[:3])
        pictures = to_network(frames_FHWC[None])[0].transpose(1, 0, 2, 3)
        latents = encode_frames(
            self._half("encode", Encode), pictures, noise_FChw, chunk=self.chunk
        )
        return np.ascontiguousarray(latents.transpose(1, 0, 2, 3))

    def decode(self, latents_CFhw: np.ndarray) -> Iterator[np.ndarray]:
        """The frames of latents one by one, uint8 (H, W, 3); only `chunk` of them are held at a
        time.
        """
        rows = latents_CFhw.transpose(1, 0, 2, 3)
        for pictures in decode_frames(self._half("decode", Decode), rows, chunk=self.chunk):
            yield from to_frames(pictures[:, :, None])[:, 0]

    def _cell(self, name: str) -> nn.Cell:
        if name not in self._cells:
            self._cells[name] = self.builders[name]().set_train(False)
        return self._cells[name]

    def _half(self, name: str, half: type[Encode] | type[Decode]) -> nn.Cell:
        """The encoding or the decoding half of the autoencoder, kept for its compiled graph."""
        vae = self.vae
        if name not in self._cells:
            self._cells[name] = half(vae, getattr(ms, self.dtype)).set_train(False)
        return self._cells[name]

    def _encode_one(self, prompt: str) -> np.ndarray:
        cut = self.tokenizer.overlong(prompt)
        if cut:
            get_logger().warning(
                "the last %d tokens of the prompt %r are cut off; there is room for %d",
                cut,
                prompt,
                self.tokenizer.length - 2,
            )
        return self._run("text_encoder", self.text_encoder, Tensor(self.tokenizer([prompt])))[0]

    def _run(self, name: str, cell: nn.Cell, *inputs: Tensor) -> np.ndarray:
        key = (name, *(tensor.shape for tensor in inputs))
        if key in self._compiled:
            return cell(*inputs).asnumpy()
        self._compiled.add(key)
        if name != "unet" or ms.get_context("mode") != ms.GRAPH_MODE:
            return cell(*inputs).asnumpy()
        with announced(
            f"compiling the graph for latents {tuple(inputs[0].shape)}, and its first step"
        ):
            return cell(*inputs).asnumpy()


def load_latent_model(
    weights: str, options: LatentModelOptions | None = None, *, fresh_seed: int | None = None
) -> LatentModel:
    """The networks at `weights`: a folder of ours, a diffusers folder, an original's file, a run,
    or shipped:NAME.

    Args:
        options: other places for parts, and how to run them.
        fresh_seed: a UNet whose family starts from its base's weights (Tune-A-Video from Stable
            Diffusion) gets the first values of its own tensors from this seed; None: all tensors
            must be there.

    Raises:
        InputFileError: something is missing or damaged. ConfigError: parts do not go together.
    """
    options = options or LatentModelOptions()
    return from_parts(find_latent_parts(weights, options), options, fresh_seed)


def from_parts(
    parts: LatentParts, options: LatentModelOptions, fresh_seed: int | None = None
) -> LatentModel:
    """The model of parts that were found; nothing is read yet but the tokenizer."""
    text = parts.text_encoder.spec
    tokenizer = load_tokenizer(parts.tokenizer, text.length, text.pad_id)
    if tokenizer.vocabulary > text.vocabulary:
        raise ConfigError(
            f"{parts.tokenizer} has {tokenizer.vocabulary} tokens and the text encoder {text.vocabulary}; they do "
            "not belong together"
        )
    builders = {
        "unet": lambda: _filled(
            UNet(parts.unet.spec, options.dtype), parts.unet, options.dtype, fresh_seed
        ),
        "vae": lambda: _filled(AutoencoderKL(parts.vae.spec), parts.vae, options.dtype),
        "text_encoder": lambda: _filled(TextEncoder(text), parts.text_encoder, "float32"),
    }
    return LatentModel(
        builders,
        parts.unet.spec,
        parts.vae.spec,
        tokenizer,
        parts.noising,
        size=parts.size,
        family=parts.unet.family,
        chunk=options.chunk,
        dtype=options.dtype,
    )


def _filled(cell: nn.Cell, part: Part, dtype: str, fresh_seed: int | None = None) -> nn.Cell:
    """The cell with the part's numbers, stored as `dtype`."""
    allow: tuple[str, ...] = ()
    if fresh_seed is not None:
        initialise(cell, fresh_seed)
        allow = tuple({p.name for p in cell.get_parameters()} - set(part.arrays))
    if dtype != "float32":
        for parameter in cell.get_parameters():
            parameter.set_dtype(getattr(ms, dtype))
    load_into(cell, _Reading(part), allow, f"the weights of the {part.family} network")
    for parameter in cell.get_parameters():
        parameter.requires_grad = False
    return cell


class _Reading(Mapping[str, np.ndarray]):
    """A part's tensors read one at a time, for `load_into`."""

    def __init__(self, part: Part) -> None:
        self.arrays = part.arrays

    def shape(self, name: str) -> tuple[int, ...]:
        return self.arrays[name].shape

    def dtype(self, name: str) -> str:
        return self.arrays[name].dtype

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)
