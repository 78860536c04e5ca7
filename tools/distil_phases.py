"""Goes on distilling the shipped latent model to four steps by phases (tools/gpu/phases.py), in
MindSpore and on a CPU: python tools/distil_phases.py --start FOLDER --out runs/few --seconds 1500

Every row of a lesson is used several times; the teacher costs more than an update.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np  # noqa: E402
from mindspore import Tensor, nn, ops  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from mindlong.checkpoints.files import open_named  # noqa: E402
from mindlong.checkpoints.latent_parts import find_latent_parts  # noqa: E402
from mindlong.checkpoints.load import load_into  # noqa: E402
from mindlong.checkpoints.parts import read_part  # noqa: E402
from mindlong.config.infer_options.latent import LatentModelOptions  # noqa: E402
from mindlong.data.shapes import ShapesWorld  # noqa: E402
from mindlong.diffusion.samplers.spacing import times_of  # noqa: E402
from mindlong.diffusion.schedules import make, zero_terminal_snr  # noqa: E402
from mindlong.networks.clip.tokenizer import for_spec  # noqa: E402
from mindlong.ops import device  # noqa: E402
from mindlong.training.step import Gradients  # noqa: E402

TEACHER = "shipped:latent_shapes"
SHAPE = (4, 16, 12, 12)  # C, F, h, w
STEPS, GUIDANCE = 4, 1.5
FROZEN = (".res.conv1.", ".res.conv2.")


class Levels:
    """Signal and noise of timesteps, -1 the clean sample; K stretches of `substeps` timesteps."""

    def __init__(self, substeps: int) -> None:
        schedule = zero_terminal_snr(make("scaled_linear"))
        self.signal = np.append(np.sqrt(schedule.alphas_cumprod), 1.0).astype(np.float32)
        self.noise = np.append(np.sqrt(1 - schedule.alphas_cumprod), 0.0).astype(np.float32)
        nodes = [*map(int, times_of("trailing", schedule.timesteps, STEPS)), -1]
        ends = zip(nodes[:-1], nodes[1:], strict=True)
        self.fine = np.array(
            [[round(a + (b - a) * i / substeps) for i in range(substeps + 1)] for a, b in ends]
        )

    def at(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """alpha and sigma, to broadcast against samples."""
        axes = (-1, 1, 1, 1, 1)
        return self.signal[t].reshape(axes), self.noise[t].reshape(axes)

    def jump(self, x, v, t, after) -> np.ndarray:
        """A step of DDIM."""
        (a, s), (a1, s1) = self.at(t), self.at(after)
        return a1 * (a * x - s * v) + s1 * (a * v + s * x)

    def implied(self, x, y, t, after) -> np.ndarray:
        """The clean sample with which one step leads from `x` to `y`."""
        (a, s), (a1, s1) = self.at(t), self.at(after)
        return (y - s1 / s * x) / (a1 - s1 / s * a)


class Loss(nn.Cell):
    """construct(x, t, context, goal, alpha, sigma): mean log of the errors of the stretches."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, x, t, context, goal, alpha, sigma):
        said = alpha * x - sigma * self.network(x, t, context)
        wrong = ops.square(said - goal).mean((1, 2, 3, 4))
        return ops.log(wrong.reshape((STEPS, -1)).mean(1) + 1e-6).mean()


class Adam:
    """AdamW without decay, on the host, with averages of the weights."""

    def __init__(self, weights: list, decay: float) -> None:
        self.weights, self.decay, self.count = weights, decay, 0
        self.kept = [np.array(w.asnumpy()) for w in weights]
        self.now = [k.copy() for k in self.kept]
        self.first = [np.zeros_like(k) for k in self.kept]
        self.second = [np.zeros_like(k) for k in self.kept]

    def step(self, gradients: list[np.ndarray], rate: float) -> float:
        """One update; the gradient's norm, which is clipped at 1."""
        norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients))
        self.count += 1
        low, high = 1 - 0.9**self.count, 1 - 0.99**self.count
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        for i, gradient in enumerate(gradients):
            g = gradient * min(1.0, 1.0 / (norm + 1e-6))
            self.first[i] += 0.1 * (g - self.first[i])
            self.second[i] += 0.01 * (g * g - self.second[i])
            self.now[i] -= rate * (self.first[i] / low) / (np.sqrt(self.second[i] / high) + 1e-8)
            self.kept[i] += (1 - decay) * (self.now[i] - self.kept[i])
            self.weights[i].set_data(Tensor(self.now[i]))
        return norm


class Distillation:
    """Teacher, student, captions, and the lessons of late."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.levels = options, Levels(options.substeps)
        self.draw = np.random.default_rng(options.seed)
        self.teacher = _cell(read_part(open_named(TEACHER, "teacher"), "network"))
        parts = find_latent_parts(options.start, LatentModelOptions())
        self.student = _cell(parts.network)
        text = _cell(parts.text_encoder)
        captions = [*ShapesWorld(size=(48, 48)).captions(), ""]
        ids = for_spec(parts.tokenizer, parts.text_encoder.spec)(captions)
        self.states = text(Tensor(ids)).asnumpy()
        learns = [w for w in self.student.get_parameters() if not any(f in w.name for f in FROZEN)]
        self.gradients = Gradients(Loss(self.student), learns)
        self.adam = Adam(learns, options.decay)
        self.met, self.goal, self.caption = [], [], []

    def ask(self, network, x, t, context) -> np.ndarray:
        """v."""
        given = (x.astype(np.float32), t.astype(np.int32), context)
        return network(*(Tensor(np.ascontiguousarray(a)) for a in given)).asnumpy()

    def lesson(self) -> None:
        """What the student meets from fresh noise, and what it should say there."""
        n, fine = self.options.noises, self.levels.fine
        caption = self.draw.integers(len(self.states) - 1, size=n)
        context = self.states[caption]
        both = np.concatenate((np.repeat(self.states[-1:], n, 0), context))
        x, met, goal = self.draw.standard_normal((n, *SHAPE)).astype(np.float32), [], []
        for k in range(STEPS):
            t, after = np.full(n, fine[k, 0]), np.full(n, fine[k, -1])
            y = x
            for s in range(self.options.substeps):
                now, then = np.full(n, fine[k, s]), np.full(n, fine[k, s + 1])
                out = self.ask(self.teacher, np.tile(y, (2, 1, 1, 1, 1)), np.tile(now, 2), both)
                v = out[:n] + GUIDANCE * (out[n:] - out[:n])
                y = self.levels.jump(y, v, now, then)
            met.append(x)
            goal.append(self.levels.implied(x, y, t, after))
            if k + 1 < STEPS:
                x = self.levels.jump(x, self.ask(self.student, x, t, context), t, after)
        for held, new in ((self.met, np.stack(met, 1)), (self.goal, np.stack(goal, 1))):
            held.extend(new.astype(np.float32))
            del held[: -self.options.keep]
        self.caption = [*self.caption, *caption][-self.options.keep :]

    def errors(self) -> np.ndarray:
        """Of what the student says of the lessons held, by stretch (STEPS,)."""
        n, found = self.options.noises, []
        for start in range(0, len(self.met), n):
            met, goal = (np.stack(h[start : start + n]) for h in (self.met, self.goal))
            context = self.states[np.array(self.caption[start : start + n])]
            for k in range(STEPS):
                t = np.full(n, self.levels.fine[k, 0])
                alpha, sigma = self.levels.at(t)
                said = alpha * met[:, k] - sigma * self.ask(self.student, met[:, k], t, context)
                found.append(np.square(said - goal[:, k]).mean())
        return np.reshape(found, (-1, STEPS)).mean(0)

    def go_along(self, multiples: list[float]) -> None:
        """Start from the multiple of what was learnt so far with the least error: a few updates
        under a rising rate, averaged, have gone the right way and not far.
        """
        names = [w.name.removeprefix("unet.") for w in self.adam.weights]
        held = {w.name.removeprefix("unet."): w.asnumpy() for w in self.teacher.get_parameters()}
        base = [held[name] for name in names]
        begun, best = [np.array(a) for a in self.adam.now], (np.inf, 1.0)
        for each in [*multiples, None]:
            factor = best[1] if each is None else each
            for i, (low, high) in enumerate(zip(base, begun, strict=True)):
                self.adam.now[i] = low + np.float32(factor) * (high - low)
                self.adam.weights[i].set_data(Tensor(self.adam.now[i]))
            if each is not None:
                wrong = self.errors()
                best = min(best, (float(np.log(wrong + 1e-6).mean()), factor))
                print(f"{factor:g} times what was learnt: {wrong.round(5).tolist()}", flush=True)
        self.adam.kept = [a.copy() for a in self.adam.now]
        print(f"going on from {best[1]:g} times what was learnt", flush=True)

    def update(self, rate: float) -> float:
        """One update on as many rows of each stretch; the loss."""
        rows = self.options.rows
        which = self.draw.integers(len(self.met), size=(STEPS, rows))
        x, goal = (
            np.concatenate([[held[i][k] for i in which[k]] for k in range(STEPS)])
            for held in (self.met, self.goal)
        )
        t = np.repeat(self.levels.fine[:, 0], rows)
        context = self.states[np.array(self.caption)[which.reshape(-1)]]
        given = (x, t.astype(np.int32), context, goal, *self.levels.at(t))
        one = Tensor(np.float32(1))
        loss, gradients = self.gradients(one, *(Tensor(np.ascontiguousarray(a)) for a in given))
        self.adam.step([g.asnumpy() for g in gradients], rate)
        return float(loss.asnumpy())

    def save(self, path: Path) -> None:
        """The averages of what learns, half precision."""
        names = [f"unet.{w.name.removeprefix('unet.')}" for w in self.adam.weights]
        kept = zip(names, self.adam.kept, strict=True)
        save_file({name: a.astype(np.float16) for name, a in kept}, path)


def _cell(part) -> nn.Cell:
    cell = part.network.cell(part.spec, "float32")
    load_into(cell, {name: lazy.read() for name, lazy in part.arrays.items()})
    return cell.set_train(False)


def train(options: argparse.Namespace) -> None:
    """Until the time is over; the rate falls with it."""
    device.setup("CPU", "graph", threads=options.threads)
    work, began = Distillation(options), time.monotonic()
    (options.out / "part").mkdir(parents=True, exist_ok=True)
    with (options.out / "part" / "metrics.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["step", "seconds", "loss", "lr"])
        while (gone := time.monotonic() - began) < options.seconds:
            if not work.met and options.along:
                work.lesson()
                work.go_along(options.along)
                work.save(options.out / "part.safetensors")
            work.lesson()
            losses = []
            for _ in range(options.reuse):
                share = min(1.0, (time.monotonic() - began) / options.seconds)
                falling = 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * share))
                rate = options.lr * falling * min(1.0, (work.adam.count + 1) / 10)
                losses.append(work.update(rate))
            gone = time.monotonic() - began
            said = [work.adam.count, f"{gone:.0f}", f"{np.mean(losses):.4f}", f"{rate:.3g}"]
            rows.writerow(said)
            file.flush()
            print(*said, flush=True)
            work.save(options.out / "part.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--start", default=TEACHER, help="weights that the student starts from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--noises", type=int, default=8, help="of a lesson")
    parser.add_argument("--rows", type=int, default=3, help="of each stretch in an update")
    parser.add_argument("--reuse", type=int, default=12, help="updates for each lesson")
    parser.add_argument("--keep", type=int, default=48, help="noises kept")
    parser.add_argument("--substeps", type=int, default=4, help="of the teacher in a stretch")
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--decay", type=float, default=0.97, help="of the averages")
    parser.add_argument("--along", type=float, nargs="*", default=[], help="see go_along")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
