"""The small CogVideoX that tools/gpu/train_cogvideox.py trains with diffusers and transformers, in
their folder: what our networks make of it is what theirs make.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.torch, pytest.mark.slow]
GPU = Path(__file__).parents[2] / "tools/gpu"
CAPTIONS = ["a red circle moving right", "a blue square moving up", ""]


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("diffusers")
    sys.path.insert(0, str(GPU))
    try:
        import train_cogvideox
    finally:
        sys.path.remove(str(GPU))
    return train_cogvideox


@pytest.fixture(scope="module")
def theirs(script):
    """The three networks, all numbers moved, so that no gate is shut."""
    import torch

    torch.manual_seed(0)
    networks = script.transformer().eval(), script.text_encoder().eval(), script.autoencoder()
    for network in networks[:2]:
        for parameter in network.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return networks


@pytest.fixture(scope="module")
def ours(script, theirs, tmp_path_factory):
    import torch

    from mindlong.pipelines.load_model import load_latent_model

    transformer, text, vae = theirs
    average = script.Average({"transformer": transformer, "text_encoder": text})
    where = tmp_path_factory.mktemp("twin")
    script.write(average, vae, where, torch.float32)
    return load_latent_model(str(where))


def close(found, want, tolerance=1e-4):
    np.testing.assert_allclose(found, want, rtol=0, atol=tolerance * np.abs(want).max())


def test_networks_compute_what_theirs_compute(script, theirs, ours):
    import torch

    transformer, text, vae = theirs
    draw = np.random.default_rng(3)
    x = draw.standard_normal((3, 4, 16, 12, 12)).astype(np.float32)
    t = np.array([999.0, 500.0, 3.0], np.float32)
    with torch.no_grad():
        ids = torch.from_numpy(ours.tokenizer(CAPTIONS).astype(np.int64))
        states = text(ids).last_hidden_state
        given = torch.from_numpy(x).transpose(1, 2)
        out = transformer(given, states, torch.from_numpy(t), return_dict=False)[0]
        images = vae.decode(torch.from_numpy(x[0, :, :2].swapaxes(0, 1).copy())).sample
    close(ours.encode_text(CAPTIONS), states.numpy())
    want = out.transpose(1, 2).numpy()
    assert np.abs(want).std() > 0.1
    close(ours.predict(x, t, states.numpy()), want)
    decoded = np.stack(list(ours.decode(x[0, :, :2] * script.VAE.scaling)))
    shown = images.clamp(-1, 1).numpy().transpose(0, 2, 3, 1) * 127.5 + 127.5
    assert np.abs(decoded - shown).max() < 1
