"""A run's whole configuration, as it is written beside the results, is a configuration."""

from pathlib import Path

import pytest

from mindlong.cli.infer import main

CONFIGS = Path(__file__).parents[3] / "configs" / "infer"
NAMES = (
    "quickstart",
    "quickstart_latent",
    "quickstart_long",
    "quickstart_storyboard",
    "clip_parallel",
    "cogvideox_shapes_evaluation",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_default_may_be_written_down(name, tmp_path, capsys):
    asked = [] if name != "clip_parallel" else ["prompt=a red circle", "frames=32", "clips=2"]
    assert main(["--config", str(CONFIGS / f"{name}.yaml"), *asked, "--dry_run"]) == 0
    first = capsys.readouterr().out
    written = tmp_path / "config.yaml"
    written.write_text(first.partition("\nmindlong ")[0])
    assert main(["--config", str(written), "--dry_run"]) == 0
    assert capsys.readouterr().out.partition("\nmindlong ")[0] == written.read_text()
