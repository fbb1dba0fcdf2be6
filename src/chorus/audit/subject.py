"""What is audited: elements, what flows between them, and whatever else is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chorus.audit.graph import Graph, Ints
from chorus.errors import InputError

if TYPE_CHECKING:
    import networkx

    from chorus.topology import Topology

Floats = NDArray[np.float64]
LARGEST = 1e100  # of a weight, load or rate: sums and squares of more would leave the range of a float


@dataclass(frozen=True)
class Resource:
    """Something several elements cannot do without, and that no edge shows: a key, a tensor, a power feed.

    When it goes, its `users` (element names) go with it.
    """

    name: str
    users: tuple[str, ...]


@dataclass(frozen=True)
class Function:
    """What the system does, as a number that removal can change.

    Attributes:
        name: what the number measures, in a few words.
        score: from the names of removed elements and resources to a score ≥ 0, the same for the same names.
        candidates: the elements and resources worth removing one by one.
        repair: from one of them to a remedy and the score with the remedy in place and the element still removed; None
            for one whose remedy cannot be recomputed.
        repair_note: what is said instead where `repair` is None or returns None.

    """

    name: str
    score: Callable[[frozenset[str]], float]
    candidates: tuple[str, ...]
    repair: Callable[[str], tuple[str, float] | None] | None = None
    repair_note: str = "no remedy was declared for this system"


@dataclass(frozen=True)
class Coordination:
    """How the elements come to agree.

    Attributes:
        agreement: 0..1, how far they agree in the end (an order parameter, a share of equal decisions).
        cost: what coordinating took, in the unit of `total` (messages, bytes, steps).
        total: everything that was spent, coordination included.
        share: (n,) the part of the coordination that each element gave to others; sums to 1 or less.
        how: what was run or observed.

    """

    agreement: float
    cost: float
    total: float
    share: Floats
    how: str


@dataclass(frozen=True)
class Origin:
    """Where a subject was read: the file, and the lines that declare its elements and its edges (1-based)."""

    path: str
    element_lines: tuple[int, ...]
    edge_lines: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A directed or undirected graph of elements, with activity and function where they are known.

    Args:
        name: what it is.
        elements: (n,) names, all different.
        graph: edges say what flows from where to where.
        sources: element numbers where decisions start; every element when empty.
        sinks: element numbers where decisions end; every element when empty.
        resources: what elements share without an edge that shows it.
        weights: (m,) what each edge carries, ≥ 0.
        loads: (n,) arrays ≥ 0 under the names `traffic`, `parameters`, `state` or another.
        activity: (steps, n) non-negative rates.
        stimuli: (steps,) which input each step of the activity answered.
        responses: (addresses, responders) counts or probabilities: who answered when who was addressed.
        coordination: how the elements agree; a fixed gossip protocol is run on the graph when None.
        function: what the system does when parts are missing.
        figures: the field's own numbers, by name, for the report.
        model: how the subject was made or read, with its source.
        aliases: further names of elements (their ids in the file).
        origin: the file and its lines.

    Raises:
        InputError: fewer than two elements, a name twice, a resource without users, a shape that does not fit, a
            negative or non-finite number.

    Example:
        >>> Subject(name="pair", elements=("a", "b"), graph=Graph.of(2, [(0, 1)])).number("b")
        1

    """

    name: str
    elements: tuple[str, ...]
    graph: Graph
    sources: tuple[int, ...] = ()
    sinks: tuple[int, ...] = ()
    resources: tuple[Resource, ...] = ()
    weights: Floats | None = None
    loads: Mapping[str, Floats] = field(default_factory=dict)
    activity: Floats | None = None
    stimuli: Ints | None = None
    responses: Floats | None = None
    coordination: Coordination | None = None
    function: Function | None = None
    figures: Mapping[str, float | str] = field(default_factory=dict)
    model: str = ""
    aliases: Mapping[str, int] = field(default_factory=dict)
    origin: Origin | None = None

    def __post_init__(self) -> None:
        n = len(self.elements)
        if n < 2:
            what = "no element" if n == 0 else f"only the element {self.elements[0]!r}"
            raise InputError(f"{self.name}: {what}; an audit needs at least two elements")
        if n != self.graph.n:
            raise InputError(f"{self.name}: {n} names for a graph of {self.graph.n} vertices")
        if len(set(self.elements)) < n:
            twice = next(name for name in self.elements if self.elements.count(name) > 1)
            raise InputError(f"{self.name}: the element {twice!r} is named twice")
        for label, ends in (("source", self.sources), ("sink", self.sinks)):
            if any(not 0 <= end < n for end in ends):
                raise InputError(f"{self.name}: a {label} is not one of the elements 0..{n - 1}")
        if self.sources and self.sinks and len({*self.sources, *self.sinks}) < 2:
            raise InputError(f"{self.name}: the only source is the only sink; nothing can flow")
        for resource in self.resources:
            for user in resource.users:
                if user not in self._numbers:
                    raise InputError(f"{self.name}: resource {resource.name!r} names {user!r}, which is no element")
            if not resource.users:
                raise InputError(f"{self.name}: resource {resource.name!r} has no users")
        named = [resource.name for resource in self.resources]
        for name in named:
            if name in self._numbers or named.count(name) > 1:
                raise InputError(f"{self.name}: the resource {name!r} shares its name with an element or a resource")
        arrays: list[tuple[str, Floats | None, tuple[int, ...]]] = [
            ("weights", self.weights, (self.graph.m,)),
            *((k, v, (n,)) for k, v in self.loads.items()),
        ]
        if self.activity is not None:
            arrays.append(("activity", self.activity, (len(self.activity), n)))
        if self.responses is not None:
            arrays.append(("responses", self.responses, self.responses.shape))
        for label, array, shape in arrays:
            if array is None:
                continue
            if array.shape != shape:
                raise InputError(f"{self.name}: {label} has shape {array.shape}, expected {shape}")
            if not np.isfinite(array).all() or (array < 0).any():
                raise InputError(f"{self.name}: {label} holds a negative or non-finite number; all must be ≥ 0")
            if array.size and array.max() > LARGEST:
                raise InputError(f"{self.name}: {label} holds {array.max():.3g}; at most {LARGEST:g}, in a larger unit")
        if self.stimuli is not None and (self.activity is None or len(self.stimuli) != len(self.activity)):
            raise InputError(f"{self.name}: stimuli needs one entry for each step of the activity")

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {**self.aliases, **{name: number for number, name in enumerate(self.elements)}}

    def number(self, name: str) -> int:
        """Return the number of an element by its name or alias.

        Raises:
            InputError: there is no such element; the message names near ones.

        """
        if name not in self._numbers:
            import difflib

            near = difflib.get_close_matches(name, self._numbers, 3)
            hint = (
                f"; did you mean {', '.join(map(repr, near))}?" if near else f"; it has {len(self.elements)} elements"
            )
            raise InputError(f"{self.name}: no element is called {name!r}{hint}")
        return self._numbers[name]

    @cached_property
    def source_array(self) -> Ints:
        """Where decisions start."""
        return np.array(sorted(set(self.sources)) or range(self.graph.n), np.int64)

    @cached_property
    def sink_array(self) -> Ints:
        """Where decisions end."""
        return np.array(sorted(set(self.sinks)) or range(self.graph.n), np.int64)

    @property
    def has_ends(self) -> bool:
        """Whether sources and sinks were declared."""
        return bool(self.sources) and bool(self.sinks)

    def vertices_of(self, names: Iterable[str]) -> frozenset[int]:
        """Return the vertices that fall with the named elements and resources."""
        by_resource = {resource.name: resource.users for resource in self.resources}
        fallen: set[int] = set()
        for name in names:
            fallen.update([self.number(name)] if name in self._numbers else map(self.number, by_resource[name]))
        return frozenset(fallen)

    def with_ends(self, sources: Iterable[str], sinks: Iterable[str]) -> Subject:
        """Return the same subject with declared sources and sinks, by name; an empty list leaves what was there."""
        return replace(
            self,
            sources=tuple(map(self.number, sources)) or self.sources,
            sinks=tuple(map(self.number, sinks)) or self.sinks,
        )

    def with_links(self, extra: Iterable[tuple[int, int]]) -> Subject:
        """Return the same elements with more edges, each carrying what the mean edge carries."""
        graph = self.graph.with_edges(extra)
        weights = self.weights
        if weights is not None:
            mean = weights.mean() if len(weights) else 1.0
            weights = np.concatenate([weights, np.full(graph.m - self.graph.m, mean)])
        return replace(self, graph=graph, weights=weights)


def from_networkx(graph: networkx.Graph, *, name: str = "graph") -> Subject:
    """Return a subject from any networkx graph; parallel edges and the `weight` attribute are kept.

    Example:
        >>> import networkx
        >>> from_networkx(networkx.path_graph(3)).elements
        ('0', '1', '2')

    """
    order = {node: number for number, node in enumerate(graph.nodes)}
    rows = list(graph.edges(data="weight"))
    edges = [(order[row[0]], order[row[1]]) for row in rows]
    weights = None
    if any(row[2] is not None for row in rows):
        weights = np.array([1.0 if row[2] is None else float(row[2]) for row in rows])
    return Subject(
        name=name,
        elements=tuple(map(str, order)),
        graph=Graph.of(len(order), edges, directed=graph.is_directed()),
        weights=weights,
        model="a networkx graph",
    )


def from_topology(topology: Topology, actors: int, *, layer: int = 0) -> Subject:
    """Return a subject from a topology: an edge leads from the actor that is read to the actor that reads.

    Args:
        topology: who may read whom.
        actors: number of actors.
        layer: which layer's neighbourhoods.

    """
    indptr, indices = topology.to_csr(actors, layer)
    readers = np.repeat(np.arange(actors), np.diff(indptr))
    edges = np.stack([np.asarray(indices, np.int64), readers], axis=1)
    return Subject(
        name=f"topology {topology}",
        elements=tuple(map(str, range(actors))),
        graph=Graph.of(actors, edges[edges[:, 0] != edges[:, 1]]),
        model=f"layer {layer} of {topology} over {actors} actors; an edge leads from the actor read to its reader",
    )
