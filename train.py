"""Train: python train.py --config configs/train/vdm_shapes.yaml [key=value ...]"""

from mindlong.cli.guard import start

if __name__ == "__main__":
    raise SystemExit(start("train"))
