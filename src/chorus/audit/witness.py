"""Witnesses: what a finding claims about particular elements, and the re-check that trusts none of the analysis.

The re-check is a plain breadth-first search over Python dictionaries built from the subject's edges. It shares no code
with the dominators, low points and flows that found the witness.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from chorus.audit.subject import Subject
from chorus.errors import InputError

Pair = tuple[str, str]
CLAIMS = {
    "cut": "connected before, not after",
    "longer": "further apart after, or no longer connected",
    "apart": "not connected even before",
    "fall": "the function's score falls",
    "shrink": "the largest component has fewer than half of the elements after",
    "measured": "the figures of the audit itself, computed again",
}


@dataclass(frozen=True)
class Witness:
    """The elements and links to remove, and the pairs for which the claim then holds.

    `claim` is one of `CLAIMS`. A `measured` witness has no simpler check than measuring again.
    """

    claim: str
    removed: tuple[str, ...] = ()
    removed_links: tuple[Pair, ...] = ()
    pairs: tuple[Pair, ...] = ()

    def command(self, invocation: str, rule: str) -> str:
        """Return the command line that checks this witness of a finding, for a subject given as `invocation`."""
        if self.claim == "measured":
            return f"chorus audit {invocation} --rule {rule}"
        words = [f"--remove={name}" for name in self.removed]
        words += [word for a, b in self.removed_links for word in (f"--link-from={a}", f"--link-to={b}")]
        words += [word for a, b in self.pairs for word in (f"--from={a}", f"--to={b}")]
        return f"chorus audit witness {invocation} {shlex.join([*words, '--expect', self.claim])}"


@dataclass(frozen=True)
class Check:
    """The outcome of a re-check: whether the claim holds, and the lines that show it."""

    holds: bool
    lines: tuple[str, ...]


def _neighbours(subject: Subject, removed: frozenset[int], links: Iterable[Pair]) -> dict[int, list[int]]:
    """Adjacency without the removed elements, and without one edge for each removed link."""
    gone: dict[tuple[int, int], int] = {}
    for a, b in links:
        pair = (subject.number(a), subject.number(b))
        gone[pair] = gone.get(pair, 0) + 1
    found: dict[int, list[int]] = {}
    for tail, head in subject.graph.edges.tolist():
        taken = (tail, head) if subject.graph.directed or gone.get((tail, head)) else (head, tail)
        if gone.get(taken):
            gone[taken] -= 1
        elif tail not in removed and head not in removed and tail != head:
            found.setdefault(tail, []).append(head)
            if not subject.graph.directed:
                found.setdefault(head, []).append(tail)
    missing = [pair for pair, count in gone.items() if count > 0]
    if missing:
        a, b = (subject.elements[number] for number in missing[0])
        raise InputError(f"{subject.name}: there is no link {a!r} – {b!r} to remove")
    return found


def _distance(neighbours: dict[int, list[int]], start: int, end: int) -> int | None:
    seen, frontier, steps = {start}, [start], 0
    while frontier:
        if end in seen:
            return steps
        frontier = list(dict.fromkeys(w for v in frontier for w in neighbours.get(v, ()) if w not in seen))
        seen.update(frontier)
        steps += 1
    return None


def _largest(subject: Subject, neighbours: dict[int, list[int]], removed: frozenset[int]) -> int:
    both: dict[int, list[int]] = {}
    for v, others in neighbours.items():
        for w in others:
            both.setdefault(v, []).append(w)
            both.setdefault(w, []).append(v)
    left, best = set(range(subject.graph.n)) - removed, 0
    while left:
        stack, size = [left.pop()], 0
        while stack:
            size += 1
            for w in both.get(stack.pop(), ()):
                if w in left:
                    left.remove(w)
                    stack.append(w)
        best = max(best, size)
    return best


def recheck(subject: Subject, witness: Witness) -> Check:
    """Check a witness against the subject, independently of what found it.

    Raises:
        InputError: the witness names an element, resource or link that the subject does not have.

    Example:
        >>> from chorus.audit.graph import Graph
        >>> path = Subject(name="path", elements=("a", "b", "c"), graph=Graph.of(3, [(0, 1), (1, 2)]))
        >>> recheck(path, Witness("cut", removed=("b",), pairs=(("a", "c"),))).holds
        True

    """
    if witness.claim not in CLAIMS or witness.claim == "measured":
        raise InputError(
            f"cannot check the claim {witness.claim!r}; known are {', '.join(sorted(set(CLAIMS) - {'measured'}))}"
        )
    resources = {resource.name for resource in subject.resources}
    if witness.claim == "fall":
        return _score_falls(subject, witness.removed)
    for name in witness.removed:
        if name not in resources:
            subject.number(name)
    removed = subject.vertices_of(witness.removed)
    before, after = _neighbours(subject, frozenset(), ()), _neighbours(subject, removed, witness.removed_links)
    if witness.claim == "shrink":
        was, now = _largest(subject, before, frozenset()), _largest(subject, after, removed)
        line = f"largest component: {was} of {subject.graph.n} elements before, {now} after {len(removed)} removals"
        return Check(2 * now < subject.graph.n, (line,))
    if not witness.pairs:
        raise InputError("a claim about pairs needs at least one pair (--from and --to)")
    holds, lines = True, []
    for a, b in witness.pairs:
        start, end = subject.number(a), subject.number(b)
        first = _distance(before, start, end)
        then = None if start in removed or end in removed else _distance(after, start, end)
        if witness.claim == "apart":
            good = first is None
        elif witness.claim == "cut":
            good = first is not None and then is None and not {start, end} & removed
        else:
            good = first is not None and (then is None or then > first)
        holds &= good
        told = [
            "not connected" if steps is None else f"{steps} edge{'s' * (steps != 1)} apart" for steps in (first, then)
        ]
        lines.append(f"{a} → {b}: {told[0]} before, {told[1]} after{'' if good else '  (the claim does not hold)'}")
    return Check(holds, tuple(lines))


def _score_falls(subject: Subject, removed: tuple[str, ...]) -> Check:
    function = subject.function
    if function is None:
        raise InputError(f"{subject.name}: no function is known, so that no score can fall")
    for name in removed:
        if name not in function.candidates:
            raise InputError(
                f"{subject.name}: {name!r} cannot be removed; candidates are e.g. {function.candidates[:5]}"
            )
    before, after = function.score(frozenset()), function.score(frozenset(removed))
    return Check(after < before, (f"{function.name}: {before:.6g} before, {after:.6g} without {', '.join(removed)}",))
