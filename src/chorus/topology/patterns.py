"""Every pattern: what it is called, what it takes, what it means. The constructors are the language's vocabulary.

Every count says what it counts, and windows include the actor itself. Sizes may be scheduled by layer: give a function
(`lambda l: 4**l`), or, in a spec, arithmetic on `layer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from chorus.errors import InputError
from chorus.topology.expression import LAYER, Expression
from chorus.topology.pattern import Pattern
from chorus.topology.topology import PerLayer, Topology

Size = int | Expression | Callable[[Expression], "Expression | int"]


def full() -> Topology:
    """Everyone reads everyone, themselves included: N(t) = {0, ..., n-1}.

    >>> full().neighbors(1, layer=0, n=3)
    array([0, 1, 2])
    """
    return Pattern("full", ())


def causal() -> Topology:
    """Everyone reads themselves and all earlier actors: N(t) = {0, ..., t}.

    >>> causal().neighbors(2, layer=0, n=9)
    array([0, 1, 2])
    """
    return Pattern("causal", ())


def sliding_window(w: Size) -> Topology:
    """Read the last w actors, itself included: N(t) = {t-w+1, ..., t}. Both sides: `.symmetric()`, 2w - 1 actors.

    FlashAttention's `(W, 0)` and FlexAttention's `q - kv <= W` read W + 1 keys; Hugging Face's `sliding_window=W` reads
    W: see `from_flash` and `from_hf`. A fixed w larger than n is refused; a scheduled one stops at n.

    >>> sliding_window(3).neighbors(6, layer=0, n=9)
    array([4, 5, 6])
    """
    return Pattern("sliding_window", (w,))


def dilated(w: Size, dilation: Size) -> Topology:
    """W actors, `dilation` apart, itself the first: N(t) = {t - k*dilation : 0 <= k < w}.

    A constant dilation d never leaves a residue class mod d; `dilation=lambda l: w**l` reaches w**L actors after L
    layers, each by exactly one path (van den Oord et al., WaveNet, 2016, with w = 2).

    >>> dilated(2, dilation=lambda l: 2**l).neighbors(20, layer=3, n=32)
    array([12, 20])
    """
    return Pattern("dilated", (w, dilation))


def logarithmic(base: Size = 2) -> Topology:
    """Itself and the powers of `base` back: N(t) = {t} with {t - base**k : k >= 0}.

    The fingers of Chord (Stoica et al., SIGCOMM 2001): hops are the sum of the distance's digits in that base.

    >>> logarithmic().neighbors(20, layer=0, n=32)
    array([ 4, 12, 16, 18, 19, 20])
    """
    return Pattern("logarithmic", (base,))


def power(p: Size) -> Topology:
    """Read the p-th powers back: N(t) = {t - k**p : k >= 0}. Layers to reach everything: Waring's g(p); 4 for squares.

    >>> power(2).neighbors(20, layer=0, n=32)
    array([ 4, 11, 16, 19, 20])
    """
    return Pattern("power", (p,))


def random(r: Size, seed: int = 0, causal: bool = True) -> Topology:
    """Itself and r distinct others drawn uniformly: of those before it, or (causal=False) of all; new in every layer.

    Counter-based: N(t, l) follows from (seed, l, t) alone, and nothing is stored. With fewer than r candidates, all.

    >>> random(3, seed=1).neighbors(2, layer=0, n=9)
    array([0, 1, 2])
    >>> len(random(3, seed=1).neighbors(8, layer=5, n=9))
    4
    """
    return Pattern("random", (r, seed, causal))


def global_tokens(k: Size) -> Topology:
    """Make the first k actors hubs: everyone reads them, and they read everyone (Longformer, BigBird).

    `.causal()` makes them `sink_tokens(k)`: a hub that reads only its past relays nothing that comes after it.

    >>> global_tokens(2).neighbors(5, layer=0, n=9)
    array([0, 1])
    """
    return Pattern("global_tokens", (k,))


def sink_tokens(m: Size) -> Topology:
    """Everyone reads those of the first m actors that are not later than itself (StreamingLLM, arXiv 2309.17453).

    >>> sink_tokens(2).neighbors(5, layer=0, n=9)
    array([0, 1])
    """
    return Pattern("sink_tokens", (m,))


def groups(cover: Iterable[Iterable[int]]) -> Topology:
    """Members of the same group read one another and themselves; groups may overlap and need not hold everyone.

    >>> groups([[0, 1, 2], [2, 3]]).neighbors(2, layer=0, n=5)
    array([0, 1, 2, 3])
    """
    return Pattern("groups", (cover,))


def rows(height: int, width: int) -> Topology:
    """Group a height x width grid by rows; actor t is the cell (t // width, t % width), n is height * width.

    >>> rows(2, 3).neighbors(4, layer=0, n=6)
    array([3, 4, 5])
    """
    return Pattern("rows", (height, width))


def columns(height: int, width: int) -> Topology:
    """Group a height x width grid by columns.

    >>> columns(2, 3).neighbors(4, layer=0, n=6)
    array([1, 4])
    """
    return Pattern("columns", (height, width))


def boxes(height: int, width: int, box_height: int, box_width: int) -> Topology:
    """Group a grid by boxes of box_height x box_width cells; (9, 9, 3, 3) are those of a Sudoku.

    >>> boxes(4, 4, 2, 2).neighbors(5, layer=0, n=16)
    array([0, 1, 4, 5])
    """
    return Pattern("boxes", (height, width, box_height, box_width))


def lattice(height: int, width: int) -> Topology:
    """Each cell of a grid reads itself and its neighbours above, below, left and right; the grid does not wrap.

    >>> lattice(3, 3).neighbors(4, layer=0, n=9)
    array([1, 3, 4, 5, 7])
    """
    return Pattern("lattice", (height, width))


def ring(k: Size = 1) -> Topology:
    """Itself and the k nearest on either side of a closed ring.

    >>> ring().neighbors(0, layer=0, n=6)
    array([0, 1, 5])
    """
    return Pattern("ring", (k,))


def star(hub: int = 0) -> Topology:
    """One hub: everyone reads it and themselves, and it reads everyone.

    >>> star().neighbors(3, layer=0, n=6)
    array([0, 3])
    """
    return Pattern("star", (hub,))


def complete() -> Topology:
    """Return the complete graph, with every actor's own state: the network's name for `full`.

    >>> complete().neighbors(1, layer=0, n=3)
    array([0, 1, 2])
    """
    return Pattern("complete", ())


def graph(edges: Iterable[Sequence[int]]) -> Topology:
    """Explicit pairs [reader, read], nothing else: not even an actor's own state.

    >>> graph([[0, 1], [0, 2]]).neighbors(0, layer=0, n=3)
    array([1, 2])
    """
    return Pattern("graph", (edges,))


def per_layer(items: Iterable[Topology]) -> Topology:
    """One topology for each layer, repeating from the first when the list is through.

    >>> from chorus.topology import causal
    >>> t = per_layer([sliding_window(2), causal()])
    >>> [t.neighbors(4, layer=l, n=5).tolist() for l in range(3)]
    [[3, 4], [0, 1, 2, 3, 4], [3, 4]]
    """
    parts = tuple(items)
    for part in parts:
        if not isinstance(part, Topology):
            raise InputError(f"per_layer takes a list of topologies, got {part!r} in it")
    return PerLayer(parts)


__all__ = [
    "LAYER",
    "boxes",
    "causal",
    "columns",
    "complete",
    "dilated",
    "full",
    "global_tokens",
    "graph",
    "groups",
    "lattice",
    "logarithmic",
    "per_layer",
    "power",
    "random",
    "ring",
    "rows",
    "sink_tokens",
    "sliding_window",
    "star",
]
