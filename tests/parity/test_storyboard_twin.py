"""The shipped twin of DynamiCrafter interp against the original's own classes, on its weights."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindlong.networks.clip.squash import normalised
from mindlong.pipelines.load_model import load_latent_model

GOLDEN = Path(__file__).parents[1] / "golden/storyboard_twin.npz"  # tools/golden/storyboard_twin.py


@pytest.fixture(scope="module")
def case():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    with np.load(GOLDEN) as held:
        return load_latent_model("shipped:storyboard_shapes"), dict(held)


def close(found: Tensor, want: np.ndarray) -> None:
    assert np.abs(found.asnumpy() - want).max() < 5e-6 * np.abs(want).max()


def test_text_image_and_projector_are_the_originals(case):
    model, held = case
    close(model.text_encoder(Tensor(held["ids"].astype(np.int32))), held["states"])
    encoder, projector = (model.builders[role]() for role in ("image_encoder", "projector"))
    image = normalised(held["image"].astype(np.float64), model.parts["image_encoder"][1])
    close(encoder.tokens(Tensor(image)), held["seen"])
    close(projector(Tensor(held["seen"])), held["tokens"])


@pytest.mark.slow
def test_the_unet_is_the_originals(case):
    model, held = case
    text = np.broadcast_to(held["states"][:, None], (1, 16, 77, 32))
    context = np.concatenate([text, held["tokens"].reshape(1, 16, 16, 32)], 2)
    more = (held["t"].astype(np.int32), context, held["fps"].astype(np.int32))
    close(model.network(Tensor(held["x"]), *map(Tensor, more)), held["made"])
