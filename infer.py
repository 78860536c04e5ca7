"""Make videos: python infer.py --config configs/infer/quickstart.yaml [key=value ...]"""

from mindlong.cli.infer import command

if __name__ == "__main__":
    raise SystemExit(command())
