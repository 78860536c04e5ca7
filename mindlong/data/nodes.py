"""Training samples of a hierarchy: a node of a level is a run of evenly spaced frames of a film,
sharing its ends with others.

Node j of level k covers frames j*span .. (j+1)*span, `span` = prod(L_i - 1 for i >= k), at a stride
of span / (L_k - 1) (NUWA-XL, arXiv 2303.12346, section 3.3). A film needs no cutting: an index
names its frames.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path

import numpy as np

from mindlong.config.data_options import DataOptions
from mindlong.config.infinet_options import InfinetOptions
from mindlong.data.decoded import Decoder
from mindlong.data.source import Sample, Source
from mindlong.data.transforms import crop
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.rng import generator
from mindlong.utils.shown import shown


def node_frames(lengths: Sequence[int], level: int, node: int) -> range:
    """Frame numbers of a node; the last is the first of the next node."""
    stride = prod(length - 1 for length in lengths[level + 1 :])
    span = stride * (lengths[level] - 1)
    return range(node * span, (node + 1) * span + 1, stride)


def node_count(lengths: Sequence[int], level: int) -> int:
    """Nodes of a level."""
    return prod(length - 1 for length in lengths[:level])


class LevelChooser:
    """Which level and which node sample number `index` shows, a function of (seed, index).

    Args:
        shares: of the levels; empty: equal. Without them the deepest level would supply nearly all
            samples.
    """

    def __init__(self, lengths: Sequence[int], shares: Sequence[float], seed: int) -> None:
        self.lengths, self.seed = tuple(lengths), seed
        given = np.asarray(shares or [1.0] * len(lengths), np.float64)
        self.shares = given / given.sum()

    def level(self, index: int) -> int:
        """The level of a sample."""
        return int(
            generator(self.seed, "node-level", index).choice(len(self.shares), p=self.shares)
        )

    def node(self, index: int, count: int) -> int:
        """One of `count` nodes."""
        return int(generator(self.seed, "node", index).integers(count))


class FilmNodes:
    """Nodes of films that a source makes whole, such as the shapes world.

    Args:
        films: whose samples have exactly 1 + prod(L - 1) frames; film i serves sample i.
    """

    def __init__(
        self, films: Source, lengths: Sequence[int], shares: Sequence[float], seed: int
    ) -> None:
        self.films, self.choose = films, LevelChooser(lengths, shares, seed)

    def level(self, index: int) -> int:
        """The level of a sample."""
        return self.choose.level(index)

    def sample(self, index: int) -> Sample:
        """The node's frames and the film's caption."""
        level = self.choose.level(index)
        node = self.choose.node(index, node_count(self.choose.lengths, level))
        film = self.films.sample(index)
        return Sample(
            film.frames_FHWC[list(node_frames(self.choose.lengths, level, node))], film.caption
        )

    def describe(self) -> str:
        """One line for the opening of a run."""
        return f"nodes of {len(self.choose.lengths)} levels, {_percent(self.choose.shares)}, of films: {self.films.describe()}"


class IndexedNodes:
    """Nodes of films on disk, by the index of `mindlong.data.chop_nodes`; a caption for each node.

    Args:
        path: of the index, a JSON file; videos are named relative to it.
        frames: of a run; size: (height, width), reached by covering resize and a centre crop.

    Raises:
        InputFileError: the index is missing, damaged, or of runs of another length.
    """

    def __init__(
        self,
        path: str | Path,
        frames: int,
        size: tuple[int, int],
        shares: Sequence[float],
        seed: int,
        cache_mb: int = 512,
    ) -> None:
        self.path, self.size = Path(path), size
        self.lengths, films = read_index(self.path)
        if set(self.lengths) != {frames}:
            raise InputFileError(
                f"{path} has runs of {sorted(set(self.lengths))} frames; {frames} are trained"
            )
        self.choose = LevelChooser(self.lengths, shares, seed)
        self.nodes = [
            [(film, n) for film in films for n in film["nodes"] if n["level"] == k]
            for k in range(len(self.lengths))
        ]
        for level, nodes in enumerate(self.nodes):
            if not nodes and self.choose.shares[level] > 0:
                raise InputFileError(f"{path} has no node of level {level}")
        self.decoder = Decoder(size, cache_mb)

    def level(self, index: int) -> int:
        """The level of a sample."""
        return self.choose.level(index)

    def sample(self, index: int) -> Sample:
        """The node's frames and caption."""
        nodes = self.nodes[self.level(index)]
        film, node = nodes[self.choose.node(index, len(nodes))]
        frames = self.decoder.frames(self.path.parent / film["video"], np.array(node["frames"]))
        return Sample(crop(frames, self.size), node.get("caption") or film.get("caption", ""))

    def describe(self) -> str:
        """One line for the opening of a run."""
        counts = ", ".join(map(str, map(len, self.nodes)))
        return f"{counts} nodes of {len(self.lengths)} levels in {self.path}, {_percent(self.choose.shares)}"


def read_index(path: Path) -> tuple[list[int], list[dict]]:
    """(lengths, films) of an index. Raises InputFileError where it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        lengths, films = [int(n) for n in content["lengths"]], list(content["films"])
        for film in films:
            if not isinstance(film["video"], str):
                raise ValueError(f"{film['video']!r} is no path of a video")
            for node in film["nodes"]:
                if len(node["frames"]) != lengths[node["level"]]:
                    raise ValueError(
                        f"node {node['node']} of level {node['level']} has {len(node['frames'])} frames"
                    )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputFileError(
            f"{shown(path)} is no index of nodes ({shown(repr(error))}); tools/chop_video.py --index makes one"
        ) from None
    if not films:
        raise InputFileError(f"{path} lists no film")
    return lengths, films


def known_frames(level: int, frames: int, given: float, draw: np.random.Generator) -> np.ndarray:
    """bool (F,): what a training sample knows: both ends; at level 0 nothing, or with the share
    `given` first, last or both.
    """
    known = np.zeros(frames, bool)
    if level > 0:
        known[[0, -1]] = True
    elif draw.random() < given:
        known[[[0], [-1], [0, -1]][int(draw.integers(3))]] = True
    return known


def build_nodes(
    options: InfinetOptions, data: DataOptions, seed: int, films: Callable[[int], Source]
) -> FilmNodes | IndexedNodes:
    """The samples that an `infinet` section asks for; `films(frames)` makes a source of whole
    films.

    Raises:
        ConfigError: a hierarchy over clips without an index.
    """
    if options.index:
        height, width = data.size
        return IndexedNodes(options.index, data.frames, (height, width), options.shares, seed)
    if data.kind == "clips":
        raise ConfigError(
            "infinet.index is empty; films need the index that tools/chop_video.py --index writes"
        )
    return FilmNodes(
        films(1 + prod(length - 1 for length in options.lengths)),
        options.lengths,
        options.shares,
        seed,
    )


def _percent(shares: np.ndarray) -> str:
    return " : ".join(f"{share:.0%}" for share in shares)
