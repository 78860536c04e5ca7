"""Make videos: python infer.py --config configs/infer/quickstart.yaml [key=value ...]"""

from mindlong.cli.guard import start

if __name__ == "__main__":
    raise SystemExit(start("infer"))
