"""A cortex: columns that are small worlds, linked sparsely, driven by stimuli and kept sparse by inhibition.

The generated one has 8 columns of 16 units. Inside a column, units form a Watts–Strogatz ring (6 neighbours, a fifth of
the links rewired); between columns, each pair is linked with probability 0.02. A stimulus drives four input units in
each of two columns. Rates follow r ← (1 − a) r + a [W r + input + noise − θ_column]₊ / (1 + mean rate of the column):
divisive inhibition within the column keeps few units active. What the network does is to tell the four stimuli apart:
the nearest of four mean patterns is read from 32 units that no stimulus drives. A file gives a connectome instead,
which is audited for structure alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chorus.audit.communities import communities
from chorus.audit.graph import Graph, Ints
from chorus.audit.readers import read_graph
from chorus.audit.subject import Function, Resource, Subject
from chorus.audit.subjects.worlds import modularity, participation, rich_club, small_worldness

Floats = NDArray[np.float64]
COLUMNS, UNITS, STIMULI = 8, 16, 4
N = COLUMNS * UNITS
STEPS, TRIALS = 12, 6
LARGEST_FOR_FIGURES = 3000


def build(path: str | None = None, *, seed: int = 0) -> Subject:
    """Build the cortex, or read a connectome from any graph file.

    Args:
        path: GraphML, GML, CSV, JSON or edge list.
        seed: of the draws.

    """
    if path is None:
        return _generated(seed)
    found = read_graph(path)
    if found.graph.n > LARGEST_FOR_FIGURES:
        return found
    groups = communities(found.graph, seed=seed)
    return replace(found, figures=_figures(found.graph, groups, seed), model=f"a connectome, {found.model}")


def _figures(graph: Graph, groups: list[Ints], seed: int) -> dict[str, float | str]:
    found = {
        "small-worldness σ": small_worldness(graph, seed=seed),
        "modularity Q": modularity(graph, groups),
        "mean participation": participation(graph, groups),
        "rich club φ_norm": rich_club(graph, seed=seed),
    }
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _links(generator: np.random.Generator) -> list[tuple[int, int]]:
    links: list[tuple[int, int]] = []
    for column in range(COLUMNS):
        for unit in range(UNITS):
            for step in (1, 2, 3):
                for way in (1, -1):
                    other = (unit + way * step) % UNITS
                    if generator.random() < 0.2:
                        other = int(generator.choice([k for k in range(UNITS) if k != unit]))
                    links.append((column * UNITS + unit, column * UNITS + other))
    for a in range(N):
        for b in np.flatnonzero(generator.random(N) < 0.02).tolist():
            if a // UNITS != b // UNITS:
                links.append((a, b))
    return sorted(set(links))


class _Network:
    """The rate network: weights and inputs drawn once, so that a lesion changes nothing but what it removes."""

    def __init__(self, links: list[tuple[int, int]], generator: np.random.Generator) -> None:
        self.weights = np.zeros((N, N))
        for a, b in links:
            near = a // UNITS == b // UNITS
            self.weights[b, a] = generator.uniform(0.2, 0.5) * (1.0 if near else 2.0)
        self.input = np.zeros((STIMULI, N))
        for stimulus in range(STIMULI):
            for column in (2 * stimulus, 2 * stimulus + 1):
                self.input[stimulus, column * UNITS + generator.choice(UNITS, 4, replace=False)] = 2.0
        self.noise = generator.normal(0, 0.15, (2, TRIALS, STIMULI, STEPS, N))
        self.readers = np.flatnonzero(self.input.sum(axis=0) == 0)[:: N // (2 * UNITS)][: 2 * UNITS]

    def run(self, removed: Ints, half: int) -> Floats:
        """Return the rates, (trials, stimuli, steps, units), with the first or second half of the noise."""
        alive = np.ones(N)
        alive[removed] = 0
        rates = np.zeros((TRIALS, STIMULI, STEPS, N))
        now = np.zeros((TRIALS, STIMULI, N))
        for step in range(STEPS):
            drive = now @ self.weights.T + self.input + self.noise[half, :, :, step] - 0.5
            column = now.reshape(TRIALS, STIMULI, COLUMNS, UNITS).mean(axis=-1).repeat(UNITS, axis=-1)
            now = (0.5 * now + 0.5 * np.maximum(drive, 0) / (1 + 4 * column)) * alive
            rates[:, :, step] = now
        return rates

    def patterns(self, removed: Ints) -> Floats:
        """Return the mean pattern of each stimulus at the readers, from the first half of the noise."""
        return np.asarray(self.run(removed, 0)[:, :, -1][:, :, self.readers].mean(axis=0))

    def accuracy(self, removed: Ints, patterns: Floats) -> float:
        """Return the share of second-half trials whose nearest pattern is that of their stimulus."""
        seen = self.run(removed, 1)[:, :, -1][:, :, self.readers]
        distance = ((seen[:, :, None] - patterns[None, None]) ** 2).sum(axis=-1)
        return float((distance.argmin(axis=-1) == np.arange(STIMULI)).mean())


def _generated(seed: int) -> Subject:
    generator = np.random.default_rng(seed)
    links = _links(generator)
    network = _Network(links, generator)
    names = tuple(f"column {k // UNITS} unit {k % UNITS}" for k in range(N))
    number = {name: k for k, name in enumerate(names)}
    columns = tuple(Resource(f"supply of column {c}", names[c * UNITS : (c + 1) * UNITS]) for c in range(COLUMNS))
    users = {resource.name: [number[name] for name in resource.users] for resource in columns}
    learned = network.patterns(np.array([], np.int64))

    def fallen(gone: frozenset[str]) -> Ints:
        return np.array(sorted({k for name in gone for k in users.get(name, [number.get(name, 0)])}), np.int64)

    def repair(name: str) -> tuple[str, float]:
        removed = fallen(frozenset({name}))
        return "learn the patterns anew on what is left", network.accuracy(removed, network.patterns(removed))

    rates = network.run(np.array([], np.int64), 0)
    graph = Graph.of(N, links)
    groups = [np.arange(c * UNITS, (c + 1) * UNITS) for c in range(COLUMNS)]
    stimuli = np.broadcast_to(np.arange(STIMULI)[None, :, None], rates.shape[:3]).ravel()
    return Subject(
        name="cortex",
        elements=names,
        graph=graph,
        sources=tuple(np.flatnonzero(network.input.sum(axis=0) > 0).tolist()),
        sinks=tuple(network.readers.tolist()),
        resources=columns,
        activity=rates.reshape(-1, N),
        stimuli=stimuli.astype(np.int64),
        function=Function(
            "share of stimuli told apart",
            lambda gone: network.accuracy(fallen(gone), learned),
            (*names, *users),
            repair,
        ),
        figures=_figures(graph, groups, seed),
        model=f"{COLUMNS} Watts–Strogatz columns of {UNITS} units, sparse links between them, divisive inhibition, "
        f"{STIMULI} stimuli; generated",
    )
