#!/usr/bin/env python
"""Learn a small CLIP vocabulary (vocab.json, merges.txt) from captions."""

import sys

from mindlong.cli.train_tokenizer import command

if __name__ == "__main__":
    sys.exit(command())
