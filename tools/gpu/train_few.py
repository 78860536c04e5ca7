"""Distil the shipped latent model to four steps: by phases (phases.py), two students side by side.

    PYTHONPATH=. python tools/gpu/train_few.py --seconds 480 --out runs/few

`part` learns every tensor but the convolutions of residual blocks, `lora` pairs of low rank on all
layers. Nothing but captions and noise is needed. Written: part.safetensors and lora.safetensors
(averages), metrics_*.csv, scores.json (captions that come out right, other noise than in training).
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from mindlong.data.shapes import ShapesWorld  # noqa: E402
from mindlong.data.shapes_reader import read  # noqa: E402
from tools.gpu import shapes_nets  # noqa: E402
from tools.gpu.clock import Average, Clock, optimizer, save  # noqa: E402
from tools.gpu.low_rank import adapt, file_of  # noqa: E402
from tools.gpu.phases import Phases  # noqa: E402

SHAPE = (4, 16, 12, 12)  # C, F, h, w
FROZEN = (".conv1.weight", ".conv1.bias", ".conv2.weight", ".conv2.bias")  # of residual blocks
WORLD = ShapesWorld(size=(48, 48), frames=16)
GUIDANCE, STEPS = 1.5, 4
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"


POOL = torch.cuda.graph_pool_handle() if CUDA else None  # of memory, for all graphs


def graphed(run: Callable, inputs: list[torch.Tensor], wanted: bool) -> Callable:
    """`run` recorded once as a CUDA graph, which copies what it is given into `inputs`; `run`
    itself where that cannot be.
    """
    if not (CUDA and wanted):
        return run
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):
            expected = run(*inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, pool=POOL):
            outputs = run(*inputs)
    except RuntimeError as error:
        print(f"no CUDA graph: {error}", flush=True)
        return run

    def replay(*given):
        for static, fresh in zip(inputs, given, strict=True):
            static.copy_(fresh)
        graph.replay()
        return outputs

    replay.recorded = run  # its tensors are the graph's: they must not be freed
    found = [each.clone() for each in replay(*[each.clone() for each in inputs])]
    right = all(torch.allclose(*pair, 1e-2, 1e-2) for pair in zip(found, expected, strict=True))
    print(f"recorded a CUDA graph, {'as it is' if right else 'not'} computed without", flush=True)
    return replay if right else run


class Lessons:
    """What was met on the students' ways lately: samples, their captions, what to say of them."""

    def __init__(self, generations: int, noises: int):
        shape = (STEPS, generations * noises, *SHAPE)
        self.met, self.goal = (torch.zeros(shape, device=DEVICE) for _ in range(2))
        self.caption = torch.zeros(shape[1], dtype=torch.long, device=DEVICE)
        self.noises, self.room, self.count = noises, generations, 0

    def put(self, met: torch.Tensor, goal: torch.Tensor, caption: torch.Tensor) -> None:
        """Take a generation in, in the place of the oldest."""
        start = self.count % self.room * self.noises
        rows = slice(start, start + self.noises)
        self.met[:, rows] = met.unflatten(0, (STEPS, self.noises))
        self.goal[:, rows] = goal.unflatten(0, (STEPS, self.noises))
        self.caption[rows] = caption
        self.count += 1

    def draw(self, rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """samples, goals (STEPS rows, ...), captions (STEPS rows,); as many of each stretch."""
        held = min(self.count, self.room) * self.noises
        place = torch.randint(held, (STEPS, rows), device=DEVICE)
        stretch = torch.arange(STEPS, device=DEVICE)[:, None]
        met, goal = self.met[stretch, place], self.goal[stretch, place]
        return met.flatten(0, 1), goal.flatten(0, 1), self.caption[place].flatten()


class Student:
    """A network that learns, its averages, and how its step and its lessons are computed."""

    def __init__(self, name: str, net, learning: torch.nn.Module, options, folder: Path):
        self.name, self.net, self.options, self.folder = name, net, options, folder
        self.weights = [p for p in net.parameters() if p.requires_grad]
        self.average = Average({"net": learning}, 0.998)
        self.clock = Clock(options.seconds, options.lr, folder / name)
        self.optimizer = optimizer(self.weights, options.lr, DEVICE)

    def record(self, phases: Phases, teacher, null) -> None:
        """Make the functions that are run in every round."""
        o, drawn = self.options, lambda *shape: torch.randn(*shape, device=DEVICE)
        t_B, tokens = phases.times.repeat_interleave(o.rows), null.shape[1:]

        def lesson(noise, context):
            return phases.lesson(self.net, teacher, noise, context, null, GUIDANCE)

        def losses(met, goal, context):
            for weight in self.weights:
                weight.grad = None
            v = self.net(met, t_B, context).float()
            wrong = (phases.clean(met, v, t_B) - goal).square().mean((1, 2, 3, 4))
            wrong_K = wrong.unflatten(0, (STEPS, -1)).mean(1)
            loss = torch.log(wrong_K + 1e-6).mean()
            loss.backward()
            return loss.detach(), wrong_K.detach()

        rows = STEPS * o.rows
        given = [drawn(o.noises, *SHAPE), drawn(o.noises, *tokens)]
        self.lesson = graphed(lesson, given, o.graphs)
        given = [drawn(rows, *SHAPE), drawn(rows, *SHAPE), drawn(rows, *tokens)]
        self.losses = graphed(losses, given, o.graphs)

    def learn(self, drawn, states: torch.Tensor) -> torch.Tensor:
        """One update; the errors of the stretches (K,)."""
        self.clock.begin(self.optimizer)
        loss, wrong_K = self.losses(drawn[0], drawn[1], states[drawn[2]])
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0, foreach=True)
        self.optimizer.step()
        self.average.update(self.clock.step)
        self.clock.end(loss)
        return wrong_K.clone()  # another graph may use its memory


def students(options, folder: Path) -> tuple[list[Student], dict]:
    """Both, and how each is written."""
    net, entries = shapes_nets.unet()
    part = copy.deepcopy(net).eval().to(DEVICE)
    for name, weight in part.named_parameters():
        weight.requires_grad_(not (".resnets." in name and name.endswith(FROZEN)))
    adapted = copy.deepcopy(net).eval().to(DEVICE)
    pairs = adapt(adapted, options.rank)
    learning = torch.nn.ModuleDict({k.replace(".", "/"): p for k, p in pairs.items()})
    both = [
        Student("part", part, part, options, folder),
        Student("lora", adapted, learning, options, folder),
    ]
    sources = {e.source: e for e in entries}
    learns = [sources[n] for n, w in part.named_parameters() if w.requires_grad]

    def write_part(student: Student) -> dict[str, torch.Tensor]:
        return shapes_nets.ours(learns, student.average.state("net"), "unet")

    def write_lora(student: Student) -> dict[str, torch.Tensor]:
        state = {k.replace("/", "."): v for k, v in student.average.state("net").items()}
        return file_of(pairs, adapted, state)

    return both, {"part": write_part, "lora": write_lora}


def verdict(given: tuple[np.ndarray, str]) -> tuple[bool, bool, bool]:
    """Shape and colour, direction, steady: read from frames."""
    seen = read(given[0], WORLD.shapes, WORLD.colours)
    right = seen.agrees(given[1])
    return right["shape"] and right["colour"], right["motion"], seen.steady


def count_right(z: torch.Tensor, captions: list[str], pool) -> dict[str, int]:
    """How many of the latents (B, C, F, h, w) show their captions."""
    vae, scaling = shapes_nets.autoencoder()
    vae, videos = vae.eval().to(DEVICE), []
    with torch.no_grad():
        for video in z:
            frames = vae.decode(video.transpose(0, 1) / scaling).sample
            frames = ((frames + 1) * 127.5).round().clamp(0, 255).byte()
            videos.append(frames.permute(0, 2, 3, 1).cpu().numpy())
    told = np.array(pool.map(verdict, list(zip(videos, captions, strict=True)), chunksize=4))
    names = ("shape and colour", "direction", "steady")
    sums = dict(zip(names, told.sum(0).tolist(), strict=True))
    return {**sums, "all": int(told.all(1).sum()), "of": len(captions)}


def evaluate(run: Callable, captions: list[str], states, count: int, pool) -> dict[str, int]:
    """Of `count` captions drawn from noise; `run(noise, context)` -> latents."""
    draw = torch.Generator().manual_seed(77)
    which = torch.randint(len(captions), (count,), generator=draw)
    noise = torch.randn(count, *SHAPE, generator=draw).to(DEVICE)
    z = torch.cat(
        [
            run(n, c)
            for n, c in zip(noise.split(64), states[which.to(DEVICE)].split(64), strict=True)
        ]
    )
    return count_right(z, [captions[i] for i in which.tolist()], pool)


def averaged(student: Student) -> dict[str, torch.Tensor]:
    """Put the averages in the place of the weights; what was there."""
    live = {k: v.detach().clone() for k, v in student.average.live.items()}
    for key, value in student.average.live.items():
        value.data.copy_(student.average.kept[key])
    return live


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, required=True, help="all together")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2, help="processes that read frames")
    parser.add_argument("--noises", type=int, default=32, help="of a generation of lessons")
    parser.add_argument("--rows", type=int, default=16, help="of each stretch in an update")
    parser.add_argument("--reuse", type=int, default=6, help="updates for each generation")
    parser.add_argument("--keep", type=int, default=48, help="generations kept")
    parser.add_argument("--substeps", type=int, default=6, help="of the teacher in a stretch")
    parser.add_argument("--rank", type=int, default=12)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--count", type=int, default=256, help="captions of the evaluation")
    parser.add_argument("--teacher_scores", action="store_true", help="also of the teacher alone")
    parser.add_argument(
        "--graphs", action="store_true", help="record CUDA graphs (not seen to work)"
    )
    return parser.parse_args()


def train(options, both, write, phases, teacher, states) -> None:
    """Until the time is over."""
    null, lessons, number = states[-1:], Lessons(options.keep, options.noises), 0
    for student in both:
        student.record(phases, teacher, null)
    marks, started, wrong = [0.3, 0.6, 0.8], both[0].clock.started, {}
    while (share := (time.monotonic() - started) / options.seconds) < 1:
        source = both[number % 2]
        caption = torch.randint(len(states) - 1, (options.noises,), device=DEVICE)
        noise = torch.randn(options.noises, *SHAPE, device=DEVICE)
        lessons.put(*source.lesson(noise, states[caption]), caption)
        number += 1
        for _ in range(options.reuse if number > 4 else 0):
            drawn = lessons.draw(options.rows)
            for student in both:
                wrong[student.name] = student.learn(drawn, states)
        if number % 20 == 0 and wrong:
            said = {k: [round(x, 5) for x in v.tolist()] for k, v in wrong.items()}
            print(f"{number} generations, errors of the stretches {said}", flush=True)
        if marks and share > marks[0]:
            marks.pop(0)
            for student in both:
                save(write[student.name](student), options.out / f"{student.name}.safetensors")
    for student in both:
        save(write[student.name](student), options.out / f"{student.name}.safetensors")


def main() -> None:
    options = arguments()
    torch.manual_seed(20261127)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    pool = get_context("spawn").Pool(options.workers)
    began, whole = time.monotonic(), options.seconds
    options.out.mkdir(parents=True, exist_ok=True)
    captions = WORLD.captions()
    states = shapes_nets.text_states([*captions, ""]).to(DEVICE)
    net, _ = shapes_nets.unet()
    teacher = net.eval().to(DEVICE, torch.float16 if CUDA else torch.float32)
    phases, scores = Phases(STEPS, options.substeps, DEVICE), {}
    told = captions, states, options.count, pool
    if options.teacher_scores:
        for substeps in (1, options.substeps):
            fine = Phases(STEPS * substeps, 1, DEVICE)

            def undistilled(noise, context, fine=fine):
                times = torch.cat((fine.times, fine.times.new_tensor([-1])))
                null = states[-1:].expand_as(context)
                rows = times.expand(len(noise), -1)
                return phases.solve(teacher, noise, context, null, rows, GUIDANCE)

            scores[f"teacher, {STEPS * substeps} steps"] = evaluate(undistilled, *told)
            print(scores, flush=True)
    both, write = students(options, options.out)
    used = time.monotonic() - began
    options.seconds = max(1.0, 0.94 * whole - used)
    for student in both:
        student.clock.seconds, student.clock.started = options.seconds, time.monotonic()
    train(options, both, write, phases, teacher, states)
    for student in both:
        if time.monotonic() - began > 0.985 * whole and CUDA:
            break
        averaged(student)
        scores[f"{student.name}, {STEPS} steps"] = evaluate(
            lambda noise, context, s=student: phases.walk(s.net, noise, context)[-1], *told
        )
        scores[f"{student.name}, updates"] = student.clock.step
        if CUDA:
            scores["GiB reserved"] = round(torch.cuda.max_memory_reserved() / 2**30, 1)
        print(scores, flush=True)
        (options.out / "scores.json").write_text(json.dumps(scores, indent=1))
    pool.terminate()


if __name__ == "__main__":
    main()
