"""Unet3D together with what turns a caption into its condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from mindlong.diffusion.guidance import Model, guided
from mindlong.networks.caption.cell import CaptionEncoder, caption_ids
from mindlong.networks.unet3d.cell import Unet3D
from mindlong.networks.unet3d.spec import TextSpec, Unet3DSpec


class ConditionedUnet3D(nn.Cell):
    """Unet3D whose condition comes from nowhere, from a caption encoder trained with it, or from
    given embeddings.

    Args:
        spec: of the network. text: what makes its condition.

    `construct(x_BCFHW, t_B, *conditions)` with the arrays of `conditions` or
    `embedding_conditions`: float32 (B, C, F, H, W), int32 (B,), then either nothing, or (ids int32
    (B, L), dropped bool (B,)), or (embedding float32 (B, D), dropped bool (B,)).
    """

    def __init__(self, spec: Unet3DSpec, text: TextSpec) -> None:
        super().__init__()
        self.encoder, self.length, self.cond_dim = text.encoder, text.length, spec.cond_dim
        self.unet = Unet3D(spec)
        self.text = (
            CaptionEncoder(text.width, text.layers, text.heads, text.length, spec.cond_dim)
            if text.encoder == "caption"
            else None
        )
        self.with_text = self.text is not None

    def construct(
        self,
        x_BCFHW: Tensor,
        t_B: Tensor,
        words: Tensor | None = None,
        dropped_B: Tensor | None = None,
        focus_B: Tensor | None = None,
    ) -> Tensor:
        """The network's prediction, shaped like `x_BCFHW`. Where `focus_B`, bool (B,), is True the
        frames of that video see only themselves.
        """
        if words is None:
            return self.unet(x_BCFHW, t_B, None, None, focus_B)
        if self.with_text:
            return self.unet(x_BCFHW, t_B, self.text(words), dropped_B, focus_B)
        return self.unet(x_BCFHW, t_B, words, dropped_B, focus_B)

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
        return lambda x, t: self(Tensor(x), Tensor(t), *tensors).asnumpy()

    def conditions(
        self, captions: Sequence[str], dropped: np.ndarray | bool = False
    ) -> tuple[np.ndarray, ...]:
        """Host arrays for `captions`. An empty caption counts as dropped. Unconditional networks
        have none.
        """
        if self.encoder == "none":
            return ()
        if self.encoder == "embedding":  # captions say nothing to it
            return self.embedding_conditions([None] * len(captions), np.ones(len(captions), bool))
        dropped_B = np.broadcast_to(np.asarray(dropped), len(captions)) | np.array(
            [not c for c in captions]
        )
        ids = np.stack([caption_ids(c, self.length) for c in captions])
        return ids, dropped_B

    def embedding_conditions(
        self, embeddings: Sequence[np.ndarray | None], dropped: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Host arrays for given embeddings (D,); a missing one counts as dropped."""
        absent = np.array([e is None for e in embeddings])
        filled = [
            np.zeros(self.cond_dim, np.float32) if e is None else np.asarray(e, np.float32)
            for e in embeddings
        ]
        return np.stack(filled), np.asarray(dropped) | absent


def of_model(model: Any) -> ConditionedUnet3D:
    """The cell that a `model` section describes (`mindlong.networks.unet3d.keys.VdmModel`)."""
    return ConditionedUnet3D(model.spec(), model.text.spec())


class FocusedUnet3D(nn.Cell):
    """The network with the focus mask as its first condition: image and video trained together
    (arXiv 2204.03458, section 3.1), for the loss. Its parameters keep their names.
    """

    def __init__(self, network: ConditionedUnet3D) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(
        self,
        x_BCFHW: Tensor,
        t_B: Tensor,
        focus_B: Tensor,
        words: Tensor | None = None,
        dropped_B: Tensor | None = None,
    ) -> Tensor:
        """As `ConditionedUnet3D`."""
        return self.network(x_BCFHW, t_B, words, dropped_B, focus_B)
