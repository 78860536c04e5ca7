"""Show mindlong in a browser: python app.py; see `python app.py --help`."""

from mindlong.cli.guard import start

if __name__ == "__main__":
    raise SystemExit(start("app"))
