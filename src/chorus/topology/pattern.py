"""A pattern by name and arguments, the table of what each takes, and what each means as terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from chorus.errors import InputError
from chorus.topology import intervals as iv
from chorus.topology.expression import LAYER, Expression
from chorus.topology.intervals import Intervals
from chorus.topology.relation import Relation
from chorus.topology.terms import Cliques, Edges, Sample, Strip, Term
from chorus.topology.topology import MAX_ACTORS, Topology, whole

Kind = Literal["size", "number", "flag", "cover", "edges"]
_HUGE = 1 << 62
_MOST_OFFSETS = 1 << 24  # lone offsets of one pattern: 256 MB


@dataclass(frozen=True)
class Parameter:
    """One argument of a pattern. A size may be scheduled by layer; a number may not."""

    name: str
    kind: Kind
    low: int = 1
    default: Any = None  # None: must be given
    keyword: bool = False  # written as name=value


@dataclass(frozen=True, repr=False)
class Pattern(Topology):
    """A pattern and its arguments, validated and in canonical form."""

    name: str
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        checked = tuple(
            _checked(self.name, p, value) for p, value in zip(PARAMETERS[self.name], self.values, strict=True)
        )
        object.__setattr__(self, "values", checked)

    @property
    def period(self) -> int | None:
        """After how many layers it repeats."""
        scheduled = any(isinstance(value, Expression) for value in self.values)
        return None if scheduled or self.name == "random" else 1

    def build(self, n: int, layer: int) -> Relation:
        """Return the pairs at one layer."""
        arguments = []
        for p, value in zip(PARAMETERS[self.name], self.values, strict=True):
            if isinstance(value, Expression):
                given = value
                value = given.at(layer)
                if value < p.low:
                    raise InputError(
                        f"{self}: {p.name} is {value} at layer {layer}, must be at least {p.low}: mend {given}"
                    )
                value = min(value, n) if p.name in _BOUNDED_BY_N.get(self.name, ()) else value
            elif p.name in _BOUNDED_BY_N.get(self.name, ()) and value > n:
                raise InputError(
                    f"{self}: {p.name} = {value:,} is larger than n = {n:,}: take at most {n:,}, "
                    "or causal() or full() to read everything"
                )
            arguments.append(value)
        return Relation(n, tuple(_MEANING[self.name](n, layer, *arguments)))

    def __str__(self) -> str:
        written = []
        for p, value in zip(PARAMETERS[self.name], self.values, strict=True):
            if value != p.default:
                text = str([list(row) for row in value]) if isinstance(value, tuple) else str(value)
                written.append(f"{p.name}={text}" if p.keyword else text)
        return f"{self.name}({', '.join(written)})"


def _checked(name: str, p: Parameter, value: Any) -> Any:
    what = f"{name}: {p.name}"
    if p.kind == "flag":
        if not isinstance(value, bool):
            raise InputError(f"{what} must be True or False, got {value!r}")
        return value
    if p.kind in ("cover", "edges"):
        return _lists(what, p.kind, value)
    if p.kind == "size" and callable(value):
        value = _recorded(what, value)
    if p.kind == "size" and isinstance(value, Expression):
        return value
    return whole(what, value, p.low, _HUGE)


def _recorded(what: str, schedule: Callable[[Expression], Any]) -> Any:
    try:
        return schedule(LAYER)
    except TypeError as error:
        raise InputError(
            f"{what}: the schedule is called once with the symbol `layer`, and may use + - * // % ** and whole numbers "
            f"({error}): write it so, or use per_layer([...])"
        ) from error


def _lists(what: str, kind: str, value: Iterable[Iterable[int]]) -> tuple[tuple[int, ...], ...]:
    try:
        rows = tuple(tuple(row) for row in value)
    except TypeError as error:
        raise InputError(f"{what} must be a list of lists of actors, got {value!r}") from error
    for i, row in enumerate(rows):
        if kind == "edges" and len(row) != 2:
            raise InputError(f"{what}[{i}] must be a pair [reader, read], got {list(row)}")
        if kind == "cover" and not row:
            raise InputError(f"{what}[{i}] is an empty group: leave it out")
    return tuple(tuple(whole(f"{what}[{i}]", actor, 0, MAX_ACTORS - 1) for actor in row) for i, row in enumerate(rows))


# What each pattern takes

_GRID = (Parameter("height", "number"), Parameter("width", "number"))

PARAMETERS: dict[str, tuple[Parameter, ...]] = {
    "full": (),
    "causal": (),
    "complete": (),
    "sliding_window": (Parameter("w", "size"),),
    "dilated": (Parameter("w", "size"), Parameter("dilation", "size", keyword=True)),
    "logarithmic": (Parameter("base", "size", low=2, default=2, keyword=True),),
    "power": (Parameter("p", "size"),),
    "random": (
        Parameter("r", "size"),
        Parameter("seed", "number", low=0, default=0, keyword=True),
        Parameter("causal", "flag", default=True, keyword=True),
    ),
    "global_tokens": (Parameter("k", "size"),),
    "sink_tokens": (Parameter("m", "size"),),
    "ring": (Parameter("k", "size", default=1),),
    "star": (Parameter("hub", "number", low=0, default=0, keyword=True),),
    "groups": (Parameter("cover", "cover"),),
    "graph": (Parameter("edges", "edges"),),
    "rows": _GRID,
    "columns": _GRID,
    "boxes": (*_GRID, Parameter("box_height", "number"), Parameter("box_width", "number")),
    "lattice": _GRID,
}

_BOUNDED_BY_N = {
    "sliding_window": ("w",),
    "random": ("r",),
    "global_tokens": ("k",),
    "sink_tokens": ("m",),
    "ring": ("k",),
}

# What each pattern means


def _strip(n: int, offsets: Intervals, readers: Intervals | None = None, reads: Intervals | None = None) -> Strip:
    everyone = iv.interval(0, n)
    return Strip(
        n,
        iv.clip(offsets, 1 - n, n),
        everyone if readers is None else readers,
        everyone if reads is None else reads,
    )


def _full(n: int, layer: int) -> list[Term]:
    return [_strip(n, iv.interval(1 - n, n))]


def _causal(n: int, layer: int) -> list[Term]:
    return [_strip(n, iv.interval(0, n))]


def _sliding_window(n: int, layer: int, w: int) -> list[Term]:
    return [_strip(n, iv.interval(0, w))]


def _dilated(n: int, layer: int, w: int, dilation: int) -> list[Term]:
    if dilation == 1:
        return [_strip(n, iv.interval(0, min(w, n)))]
    inside = min(w, -(-n // dilation))
    if inside > _MOST_OFFSETS:
        raise InputError(
            f"dilated({w}, dilation={dilation}) has {inside:,} offsets below n = {n:,}, more than {_MOST_OFFSETS:,}: "
            "take a larger dilation, fewer actors or a sliding window"
        )
    return [_strip(n, iv.from_values(np.arange(inside, dtype=np.int64) * min(dilation, n)))]


def _logarithmic(n: int, layer: int, base: int) -> list[Term]:
    offsets, step = [0], 1
    while step < n:
        offsets.append(step)
        step *= base
    return [_strip(n, iv.from_values(offsets))]


def _power(n: int, layer: int, p: int) -> list[Term]:
    if p == 1:
        return _causal(n, layer)
    p = min(p, n.bit_length())  # beyond that only 0 and 1 are below n
    offsets, k = [], 0
    while k**p < n:
        offsets.append(k**p)
        k += 1
    return [_strip(n, iv.from_values(offsets))]


def _random(n: int, layer: int, r: int, seed: int, causal: bool) -> list[Term]:
    return [Sample(n, layer, r, seed, causal)]


def _global_tokens(n: int, layer: int, k: int) -> list[Term]:
    every, hubs = iv.interval(1 - n, n), iv.interval(0, k)
    return [_strip(n, every, reads=hubs), _strip(n, every, readers=hubs)]


def _sink_tokens(n: int, layer: int, m: int) -> list[Term]:
    return [_strip(n, iv.interval(0, n), reads=iv.interval(0, m))]


def _ring(n: int, layer: int, k: int) -> list[Term]:
    k = min(k, n)
    around = [iv.interval(-k, k + 1), iv.interval(n - k, n + k + 1), iv.interval(-n - k, k - n + 1)]
    return [_strip(n, iv.union(around))]


def _star(n: int, layer: int, hub: int) -> list[Term]:
    if hub >= n:
        raise InputError(f"star(hub={hub}): the hub is not one of the n = {n:,} actors 0 to {n - 1:,}")
    every, centre = iv.interval(1 - n, n), iv.interval(hub, hub + 1)
    return [
        _strip(n, iv.interval(0, 1)),
        _strip(n, every, reads=centre),
        _strip(n, every, readers=centre),
    ]


def _graph(n: int, layer: int, edges: tuple[tuple[int, int], ...]) -> list[Term]:
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    _refuse_aliens("graph", n, pairs.ravel())
    return [Edges.from_pairs(n, pairs[:, 0], pairs[:, 1])]


def _groups(n: int, layer: int, cover: tuple[tuple[int, ...], ...]) -> list[Term]:
    members = [np.unique(np.array(group, np.int64)) for group in cover]
    flat = np.concatenate([np.empty(0, np.int64), *members])
    _refuse_aliens("groups", n, flat)
    return [Cliques(n, np.r_[0, np.cumsum([len(m) for m in members])].astype(np.int64), flat)]


def _refuse_aliens(name: str, n: int, actors: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    aliens = np.unique(actors[actors >= n])
    if len(aliens):
        raise InputError(
            f"{name}: actor {aliens[0]:,}{f' and {len(aliens) - 1:,} more' if len(aliens) > 1 else ''} "
            f"is not one of the n = {n:,} actors 0 to {n - 1:,}: raise n, or number the actors from 0"
        )


def _grid(name: str, n: int, height: int, width: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    if height * width != n:
        raise InputError(f"{name}({height}, {width}) is over {height * width:,} actors, but n = {n:,}: make them equal")
    return np.arange(n).reshape(height, width)


def _equal_groups(n: int, cells: np.ndarray[Any, np.dtype[np.int64]]) -> list[Term]:
    return [Cliques(n, np.arange(len(cells) + 1) * cells.shape[1], cells.ravel())]


def _rows(n: int, layer: int, height: int, width: int) -> list[Term]:
    return _equal_groups(n, _grid("rows", n, height, width))


def _columns(n: int, layer: int, height: int, width: int) -> list[Term]:
    return _equal_groups(n, _grid("columns", n, height, width).T)


def _boxes(n: int, layer: int, height: int, width: int, box_height: int, box_width: int) -> list[Term]:
    cells = _grid("boxes", n, height, width)
    if height % box_height or width % box_width:
        raise InputError(
            f"boxes({height}, {width}, {box_height}, {box_width}): "
            f"{box_height} x {box_width} boxes do not fill the grid"
        )
    split = cells.reshape(height // box_height, box_height, width // box_width, box_width)
    return _equal_groups(n, split.transpose(0, 2, 1, 3).reshape(-1, box_height * box_width))


def _lattice(n: int, layer: int, height: int, width: int) -> list[Term]:
    cells = _grid("lattice", n, height, width)
    not_first = np.stack([cells[:, 0] + 1, cells[:, -1] + 1], 1)  # every row but its first cell
    not_first = not_first[not_first[:, 0] < not_first[:, 1]]
    left = _strip(n, iv.interval(1, 2), readers=not_first)
    return [_strip(n, iv.from_values([0, width, -width])), *([left, left.transposed()] if len(not_first) else [])]


_MEANING: dict[str, Callable[..., list[Term]]] = {
    "full": _full,
    "complete": _full,
    "causal": _causal,
    "sliding_window": _sliding_window,
    "dilated": _dilated,
    "logarithmic": _logarithmic,
    "power": _power,
    "random": _random,
    "global_tokens": _global_tokens,
    "sink_tokens": _sink_tokens,
    "ring": _ring,
    "star": _star,
    "groups": _groups,
    "graph": _graph,
    "rows": _rows,
    "columns": _columns,
    "boxes": _boxes,
    "lattice": _lattice,
}
