"""Train: python train.py --config configs/train/shapes_pixel.yaml [key=value ...]"""

from mindlong.cli.train import command

if __name__ == "__main__":
    raise SystemExit(command())
