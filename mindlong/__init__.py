"""mindlong: long-video diffusion on MindSpore for Ascend NPUs and CPUs."""

from pathlib import Path

__version__ = (Path(__file__).parent / "version.txt").read_text().strip()
