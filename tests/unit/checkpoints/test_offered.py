"""Which of the shipped models are offered where weights are asked for."""

import pytest

from mindlong.checkpoints.locate import locate, shipped_names, shipped_networks
from mindlong.utils.errors import InputFileError


def test_an_autoencoder_or_a_branch_alone_is_no_model_to_make_videos_with():
    apart = set(shipped_names()) - set(shipped_networks())
    assert apart == {"infinet_shapes"}


@pytest.mark.parametrize(("key", "offered"), [("weights", False), ("latents.vae", True)])
def test_what_is_offered_depends_on_the_key(key, offered):
    with pytest.raises(InputFileError) as found:
        locate("shipped:nothing", key)
    assert ("shipped:infinet_shapes" in str(found.value)) is offered
