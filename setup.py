"""Packaging of mindlong. The versions in comments are the ones the project is tested with."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = (HERE / "mindlong" / "version.txt").read_text().strip()

RUNTIME = [
    "mindspore==2.10.0",
    "numpy>=1.25,<2",  # 1.26.4; MindSpore 2.10 fails on some NumPy 2 scalars
    "opencv-python-headless>=4.8,<4.12",  # 4.11.0.86; later wheels ask for NumPy 2
    "pyyaml>=6.0",
    "tqdm>=4.60",
    "pillow>=9.2",
    "imageio>=2.31",
    "imageio-ffmpeg>=0.5",  # brings ffmpeg 7; 5.1 is the oldest that will do
    "safetensors>=0.4.3",
    "tokenizers>=0.19",
    "matplotlib>=3.7",
    "fonttools>=4.22",  # matplotlib brings it
]
LINT = [
    "ruff>=0.5",
    "clang-format==14.0.6",
    "mypy==2.4.1",
    "types-PyYAML>=6",
    "types-tqdm>=4.60",
]
TEST = [
    "pytest>=7",
    "pytest-xdist>=3",
    "hypothesis>=6",
    "nbclient>=0.8",
    "nbformat>=5.7",
    "ipykernel>=6.20",
    "setuptools>=70.1",  # a test builds a wheel
    "tensorboard>=2.13",
    *LINT,
]
APP = ["gradio>=6,<7"]  # 6.31.0
BROWSER = ["selenium>=4.20"]  # with Debian's chromium and chromium-driver
GOLDEN = [
    "torch==2.13.0",
    "diffusers>=0.30",
    "transformers>=4.40",
    "video-diffusion-pytorch==0.7.0",
    "open_clip_torch>=3.0",
    "compel>=2.5",
]
TENSORBOARD = ["tensorboard>=2.13"]

COMMANDS = (  # of mindlong.cli
    "infer",
    "train",
    "app",
    "convert",
    "inspect",
    "chop",
    "package_weights",
    "run_network",
    "train_tokenizer",
    "fp16_audit",
    "compare_long",
    "compare_videos",
    "doctor",
    "evaluate_autoencoder",
    "evaluate_edits",
    "evaluate_interpolation",
    "evaluate_long",
    "evaluate_shapes",
    "evaluate_video",
)


class BuildWithConfigs(build_py):
    """Puts configs/ inside the package: an installation has no checkout beside it."""

    def run(self) -> None:
        """Copy the modules, and the configurations beside them."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "mindlong" / "configs"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(HERE / "configs", target)


setup(
    name="mindlong",
    version=VERSION,
    description="Long-video diffusion on MindSpore for Ascend NPUs and CPUs",
    long_description=(HERE / "README.md").read_text() if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["mindlong", "mindlong.*"]),
    include_package_data=True,
    package_data={
        "mindlong": [
            "version.txt",
            "app/page/*.css",
            "weights/**/*",
            "networks/caption/*.txt",
            "ops/native/*.cc",
            "ops/native/*.h",
            "ops/ascendc/**/*",
        ]
    },
    exclude_package_data={"": ["__pycache__/*", "**/__pycache__/*"]},
    install_requires=RUNTIME,
    extras_require={
        "run": [],
        "test": TEST,
        "lint": LINT,
        "golden": GOLDEN,
        "tensorboard": TENSORBOARD,
        "app": APP,
        "browser": [*APP, *BROWSER],
    },
    entry_points={
        "console_scripts": [
            f"mindlong-{name.replace('_', '-')}=mindlong.cli.console:{name}" for name in COMMANDS
        ]
    },
    cmdclass={"build_py": BuildWithConfigs},
)
