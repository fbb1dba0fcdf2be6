"""The internet: autonomous systems that route valley-free, and the DNS that everything asks first.

The generated one has 5 tier-1 systems that all peer, 20 transit systems with two providers each and some peering, and
95 stubs with one to three providers. 13 root letters have 2 instances each, spread over the transit systems; three
top-level zones have 3 servers each. All root letters serve one zone, signed with one key: those are the shared
resources that no link shows. A stub can use a name when a root letter, a server of its zone and the zone's data and key
are there and reachable, and the system that hosts the name is reachable too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chorus.audit.graph import Graph
from chorus.audit.readers import read_text
from chorus.audit.subject import Function, Origin, Resource, Subject
from chorus.audit.subjects.routing import Relations
from chorus.errors import InputError

TIER1, TRANSIT, STUBS = 5, 20, 95
LETTERS = [f"root {letter}" for letter in "abcdefghijklm"]
ZONES = ("com", "org", "net")
MOST_TARGETS, MOST_CANDIDATES = 512, 200


def build(path: str | None = None, *, seed: int = 0) -> Subject:
    """Build the internet, or the systems of an AS-relationship file.

    Args:
        path: lines `a|b|-1` (a is b's provider) or `a|b|0` (peers), `#` for comments, as CAIDA publishes them.
        seed: of the draws.

    """
    return _from_file(Path(path), seed) if path is not None else _generated(seed)


def _relations(generator: np.random.Generator) -> Relations:
    first, last = TIER1, TIER1 + TRANSIT
    peering = [(a, b) for a in range(TIER1) for b in range(a)]
    peering += [(a, b) for a in range(first, last) for b in range(first, a) if generator.random() < 0.15]
    transit = [(int(p), a) for a in range(first, last) for p in generator.choice(TIER1, 2, replace=False)]
    weight = 1 / np.arange(1, TRANSIT + 1)  # a few transit systems have most customers
    for stub in range(last, last + STUBS):
        homes = int(generator.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
        chosen = generator.choice(TRANSIT, homes, replace=False, p=weight / weight.sum())
        transit += [(int(first + p), stub) for p in chosen]
    return Relations(last + STUBS, tuple(transit), tuple(peering))


def _generated(seed: int) -> Subject:
    generator = np.random.default_rng(seed)
    relations = _relations(generator)
    systems = [f"tier-1 {k}" for k in range(TIER1)] + [f"transit {k}" for k in range(TRANSIT)]
    systems += [f"stub {k}" for k in range(STUBS)]
    transit = np.arange(TIER1, TIER1 + TRANSIT)
    stubs = range(TIER1 + TRANSIT, relations.n)
    hosts: dict[str, list[int]] = {letter: generator.choice(transit, 2, replace=False).tolist() for letter in LETTERS}
    servers = {zone: [f"{zone} server {k}" for k in range(3)] for zone in ZONES}
    for names in servers.values():
        hosts |= {name: [int(generator.choice(transit))] for name in names}
    sites = [int(site) for site in generator.choice(list(stubs), 30, replace=False)]
    zone_of = [ZONES[k % 3] for k in range(30)]
    keys = {"root zone": LETTERS, "root signing key": LETTERS}
    keys |= {f"{zone} {what}": servers[zone] for zone in ZONES for what in ("zone", "signing key")}
    everyone = list(range(relations.n))

    def score(gone: frozenset[str], standby: str | None = None) -> float:
        """Return the share of (stub, name) pairs that still work; with `standby`, a copy of that resource is there."""
        removed = frozenset(k for k, name in enumerate(systems) if name in gone)
        reach = relations.valley_free(everyone, removed)
        lost = {name for name in keys if name in gone and name != standby}
        dead = {server for name in lost for server in keys[name]} | gone

        def mask(names: list[str]) -> int:
            return sum({1 << host for name in names if name not in dead for host in hosts[name]})

        root = mask(LETTERS)
        zones = {zone: mask(servers[zone]) for zone in ZONES}
        works = 0
        for stub in stubs:
            if stub in removed or not reach[stub] & root:
                continue
            works += sum(
                bool(reach[stub] & zones[zone]) and bool(reach[stub] >> site & 1)
                for site, zone in zip(sites, zone_of, strict=True)
            )
        return works / (len(stubs) * len(sites))

    def repair(name: str) -> tuple[str, float]:
        if name in keys:
            return f"a second, independent {name}", score(frozenset({name}), standby=name)
        if name in systems[: TIER1 + TRANSIT]:
            other = Relations(
                relations.n, (*relations.transit, *_second_home(relations, systems.index(name))), relations.peering
            )
            reach = other.valley_free(everyone, frozenset({systems.index(name)}))
            root, works = sum({1 << host for letter in LETTERS for host in hosts[letter]}), 0
            for stub in stubs:
                for site, zone in zip(sites, zone_of, strict=True):
                    served = sum({1 << host for server in servers[zone] for host in hosts[server]})
                    works += bool(reach[stub] & root and reach[stub] & served and reach[stub] >> site & 1)
            return "a second provider for every customer that has only this one", works / (len(stubs) * len(sites))
        return "another instance in a different system", score(frozenset())

    elements = (*systems, *hosts)
    number = {name: k for k, name in enumerate(elements)}
    links = [*relations.transit, *relations.peering]
    links += [(number[name], host) for name, at in hosts.items() for host in at]
    plain = relations.valley_free(everyone)
    pairs = relations.n * (relations.n - 1)
    return Subject(
        name="internet",
        elements=elements,
        graph=Graph.of(len(elements), links, directed=False),
        resources=tuple(Resource(name, tuple(users)) for name, users in keys.items()),
        function=Function(
            "share of (stub, name) pairs that resolve and connect",
            score,
            (*systems[: TIER1 + TRANSIT], *hosts, *keys),
            repair,
        ),
        figures={"pairs reachable valley-free": sum(r.bit_count() - 1 for r in plain) / pairs},
        model="valley-free routing (Gao 2001) over a generated three-tier topology, with root and top-level DNS zones; "
        "the share of stubs with one provider is 40 %",
    )


def _second_home(relations: Relations, system: int) -> list[tuple[int, int]]:
    """Return for each customer that has only this provider a link to another one of the same tier."""
    homes: dict[int, list[int]] = {}
    for provider, customer in relations.transit:
        homes.setdefault(customer, []).append(provider)
    tier = range(TIER1) if system < TIER1 else range(TIER1, TIER1 + TRANSIT)
    other = next(k for k in tier if k != system)
    return [(other, customer) for customer, providers in homes.items() if providers == [system]]


def _from_file(path: Path, seed: int) -> Subject:
    number: dict[str, int] = {}
    lines: list[int] = []
    edge_lines: dict[str, list[int]] = {"-1": [], "0": []}
    found: dict[str, list[tuple[int, int]]] = {"-1": [], "0": []}
    for line, row in enumerate(read_text(path).split("\n"), 1):
        if not row.strip() or row.startswith("#"):
            continue
        fields = [field.strip() for field in row.split("|")]
        if len(fields) < 3 or fields[2] not in found:
            raise InputError(f"{path}:{line}: expected `a|b|-1` (a provides b) or `a|b|0` (peers), got {row[:60]!r}")
        if not fields[0] or not fields[1] or fields[0] == fields[1]:
            raise InputError(f"{path}:{line}: a relation needs two different systems, got {row[:60]!r}")
        ends = []
        for name in fields[:2]:
            if name not in number:
                number[name] = len(number)
                lines.append(line)
            ends.append(number[name])
        found[fields[2]].append((ends[0], ends[1]))
        edge_lines[fields[2]].append(line)
    if not number:
        raise InputError(f"{path}: no relation; the file is empty or holds only comments")
    relations = Relations(len(number), tuple(found["-1"]), tuple(found["0"]))
    graph = relations.graph()
    everyone = np.arange(relations.n)
    targets = everyone
    if relations.n > MOST_TARGETS:
        targets = np.sort(np.random.default_rng(seed).choice(relations.n, MOST_TARGETS, replace=False))
    names = tuple(number)
    candidates = np.sort(np.argsort(-graph.degree, kind="stable")[:MOST_CANDIDATES])

    def score(gone: frozenset[str]) -> float:
        reach = relations.valley_free(targets.tolist(), frozenset(number[name] for name in gone))
        hit = sum(bits.bit_count() for bits in reach) - (len(targets) - sum(number[name] in targets for name in gone))
        return hit / (relations.n * len(targets) - len(targets))

    drawn = "" if len(targets) == relations.n else f" to {len(targets)} drawn systems"
    return Subject(
        name=path.name,
        elements=names,
        graph=graph,
        function=Function(
            f"share of pairs reachable valley-free{drawn}",
            score,
            tuple(names[k] for k in candidates),
            repair_note="a second provider for its customers; which one is a contract, not a computation",
        ),
        model=f"AS relations read from a file, valley-free routing{drawn}; of these, {len(candidates)} are removed",
        origin=Origin(path.as_posix(), tuple(lines), tuple(edge_lines["-1"] + edge_lines["0"])),
    )
