"""A pattern by name and arguments, and the table of what each takes; `meaning` says what each is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from chorus.errors import InputError
from chorus.topology.expression import LAYER, Expression, evaluate
from chorus.topology.topology import MAX_ACTORS, Topology, whole

if TYPE_CHECKING:
    from chorus.topology.relation import Relation

Kind = Literal["size", "number", "flag", "cover", "edges"]
_HUGE = 1 << 62
_TRIED_LAYERS = 64


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
        values = zip(PARAMETERS[self.name], self.values, strict=True)
        object.__setattr__(self, "values", tuple(checked(self.name, p, value) for p, value in values))

    @property
    def period(self) -> int | None:
        """After how many layers it repeats."""
        scheduled = any(isinstance(value, Expression) for value in self.values)
        return None if scheduled or self.name == "random" else 1

    def build(self, n: int, layer: int) -> Relation:
        """Return the pairs at one layer."""
        from chorus.topology.meaning import MEANING  # here, so that the language alone loads no numpy
        from chorus.topology.relation import Relation

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
        return Relation(n, tuple(MEANING[self.name](n, layer, *arguments)))

    def __str__(self) -> str:
        written = []
        for p, value in zip(PARAMETERS[self.name], self.values, strict=True):
            if value != p.default:
                text = str([list(row) for row in value]) if isinstance(value, tuple) else str(value)
                written.append(f"{p.name}={text}" if p.keyword else text)
        return f"{self.name}({', '.join(written)})"


def checked(name: str, p: Parameter, value: Any) -> Any:
    """Return an argument of the pattern `name` in canonical form, or raise an error that names it."""
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


def _recorded(what: str, schedule: Callable[[Any], Any]) -> Any:
    """Return a schedule as an expression, after trying that both say the same at the first layers."""
    try:
        found = schedule(LAYER)
    except TypeError as error:
        raise InputError(
            f"{what}: the schedule is called once with the symbol `layer`, and may use + - * // % ** and whole numbers "
            f"({error}): write it so, or use per_layer([...])"
        ) from error
    if isinstance(found, (int, Expression)):
        for layer in range(_TRIED_LAYERS):
            try:
                recorded = evaluate(found, layer)
            except InputError:  # said when that layer is asked for
                break
            if schedule(layer) != recorded:
                raise InputError(
                    f"{what}: the schedule gives {schedule(layer)} at layer {layer}, but {found} when called with the "
                    "symbol `layer`: it may not compare the layer; write arithmetic, or use per_layer([...])"
                )
    return found


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
