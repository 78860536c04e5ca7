"""Unet3D together with what turns a caption into its conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from mindlong.diffusion.guidance import Model, guided
from mindlong.networks.caption.cell import CaptionEncoder, caption_ids
from mindlong.networks.unet3d.built_cell import build
from mindlong.networks.unet3d.classes import NONE, class_of
from mindlong.networks.unet3d.spec import OWN, TextSpec, Unet3DSpec
from mindlong.ops.graph_cache.calls import call

Embed = Callable[[Sequence[str]], np.ndarray]


class ConditionedUnet3D(nn.Cell):
    """Unet3D with its conditions: a text condition from nowhere, from a caption encoder trained
    with it, from given embeddings, or from a text encoder that stays as it is; and a class.

    Args:
        spec: of the network. text: what makes its text condition. classes: their names.

    Attributes:
        embed: captions -> float32 (N, D), where the text encoder has weights of its own; set by
            whoever read these.

    `construct(x_BCFHW, t_B, *conditions)` with the arrays of `conditions` or
    `embedding_conditions`: float32 (B, C, F, H, W), int32 (B,), then of a text condition (ids int32
    (B, L) or embedding float32 (B, D), dropped bool (B,)), then of classes (label int32 (B,),).
    """

    def __init__(self, spec: Unet3DSpec, text: TextSpec, classes: Sequence[str] = ()) -> None:
        super().__init__()
        self.encoder, self.length, self.cond_dim = text.encoder, text.length, spec.cond_dim
        self.names, self.embed = tuple(classes), None
        self.unet = build(spec)
        self.text = (
            CaptionEncoder(text.width, text.layers, text.heads, text.length, spec.cond_dim)
            if text.encoder == "caption"
            else None
        )
        self.with_text, self.conditional = self.text is not None, bool(spec.cond_dim)
        self.classed = spec.classes > 0

    def construct(self, x_BCFHW: Tensor, t_B: Tensor, *conditions: Tensor) -> Tensor:
        """The network's prediction, shaped like `x_BCFHW`."""
        return self.predict(x_BCFHW, t_B, conditions, None)

    def predict(
        self, x_BCFHW: Tensor, t_B: Tensor, conditions: tuple, focus_B: Tensor | None
    ) -> Tensor:
        """The same, with the conditions as a tuple. Where `focus_B`, bool (B,), is True the frames
        of that video see only themselves.
        """
        cond_BD, dropped_B = None, None
        if self.conditional and self.encoder != "none":
            cond_BD, dropped_B = conditions[0], conditions[1]
            if self.with_text:
                cond_BD = self.text(cond_BD)
        if self.classed:
            return self.unet(x_BCFHW, t_B, cond_BD, dropped_B, focus_B, conditions[-1])
        return self.unet(x_BCFHW, t_B, cond_BD, dropped_B, focus_B)

    def denoiser(
        self, captions: Sequence[str], guidance: float = 1.0, rescale: float = 0.0
    ) -> Model:
        """A model for the samplers: (x, t) -> prediction, numpy (B, C, F, H, W), conditioned on
        `captions` under classifier-free guidance.
        """
        wanted, absent = self.conditions(captions), self.conditions(captions, dropped=True)
        null = self._model(absent) if wanted else None
        return guided(self._model(wanted), null, guidance, rescale)

    def _model(self, conditions: tuple[np.ndarray, ...]) -> Model:
        tensors = [Tensor(array) for array in conditions]
        return lambda x, t: call(self, Tensor(x), Tensor(t), *tensors).asnumpy()

    def conditions(
        self, captions: Sequence[str], dropped: np.ndarray | bool = False, raw: bool = False
    ) -> tuple[np.ndarray, ...]:
        """Host arrays for `captions`. An empty caption counts as dropped. Networks without
        conditions have none.

        `raw`: captions that a text encoder with weights of its own reads stay texts, for
        `encoded`.
        """
        labels = self._labels(captions, dropped)
        if self.encoder == "none":
            return labels
        empty = np.array([not c for c in captions])
        dropped_B = np.broadcast_to(np.asarray(dropped), len(captions)) | empty
        if self.encoder not in OWN:
            texts = np.array(captions, np.str_)
            return texts if raw else self.embed(captions), dropped_B, *labels
        ids = np.stack([caption_ids(c, self.length) for c in captions])
        return ids, dropped_B, *labels

    def encoded(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """`arrays` with the vectors of texts in their place."""
        return tuple(self.embed(a.tolist()) if a.dtype.kind == "U" else a for a in arrays)

    def embedding_conditions(
        self,
        embeddings: Sequence[np.ndarray | None],
        dropped: np.ndarray,
        captions: Sequence[str] = (),
    ) -> tuple[np.ndarray, ...]:
        """Host arrays for given embeddings (D,); a missing one counts as dropped. `captions` name
        the classes.
        """
        absent = np.array([e is None for e in embeddings])
        filled = [
            np.zeros(self.cond_dim, np.float32) if e is None else np.asarray(e, np.float32)
            for e in embeddings
        ]
        return np.stack(filled), np.asarray(dropped) | absent, *self._labels(captions, dropped)

    def _labels(
        self, captions: Sequence[str], dropped: np.ndarray | bool
    ) -> tuple[np.ndarray, ...]:
        """int32 (B,): the class that each caption names, NONE where it is dropped."""
        if not self.names:
            return ()
        found = np.array([class_of(caption, self.names) for caption in captions], np.int32)
        return (np.where(dropped, np.int32(NONE), found),)


def of_model(model: Any) -> ConditionedUnet3D:
    """The cell that a `model` section describes (`mindlong.networks.unet3d.keys.VdmModel`)."""
    return ConditionedUnet3D(model.spec(), model.text.spec(), model.classes)


class FocusedUnet3D(nn.Cell):
    """The network with the focus mask as its first condition: image and video trained together
    (arXiv 2204.03458, section 3.1), for the loss. Its parameters keep their names.
    """

    def __init__(self, network: ConditionedUnet3D) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(
        self, x_BCFHW: Tensor, t_B: Tensor, focus_B: Tensor, *conditions: Tensor
    ) -> Tensor:
        """As `ConditionedUnet3D`."""
        return self.network.predict(x_BCFHW, t_B, conditions, focus_B)
