"""What setup.py installs as `mindlong-NAME`: every command, started as its script starts it."""

from __future__ import annotations

from functools import partial

from mindlong.cli.guard import start

app = partial(start, "app")
chop = partial(start, "chop")
compare_long = partial(start, "compare_long")
compare_videos = partial(start, "compare_videos")
convert = partial(start, "convert")
doctor = partial(start, "doctor")
evaluate_autoencoder = partial(start, "evaluate_autoencoder")
evaluate_edits = partial(start, "evaluate_edits")
evaluate_interpolation = partial(start, "evaluate_interpolation")
evaluate_long = partial(start, "evaluate_long")
evaluate_shapes = partial(start, "evaluate_shapes")
evaluate_video = partial(start, "evaluate_video")
fp16_audit = partial(start, "fp16_audit")
infer = partial(start, "infer")
inspect = partial(start, "inspect")
package_weights = partial(start, "package_weights")
run_network = partial(start, "run_network")
train = partial(start, "train")
train_tokenizer = partial(start, "train_tokenizer")
