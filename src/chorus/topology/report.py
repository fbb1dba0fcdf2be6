"""What `analyze` finds, as values, on one screen, and as a table that compares several."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chorus.topology.cost import LayerCost
from chorus.topology.cuts import Separation
from chorus.topology.reach import ActorSet, Coverage

_VALUE_BYTES = 2  # of a cached key or value feature: half precision


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What joins two actors.

    Attributes:
        source: where information starts.
        target: where it is to arrive.
        hops: the fewest layers, counted back from the last, that bring it there; None: not within the layers asked.
        paths: exact counts by convention (see `count_paths`); None when that is too much work, with the reason.
        separation: disjoint paths and a smallest cut; None when that is too much work, with the reason.

    """

    source: int
    target: int
    hops: int | None
    paths: dict[str, int] | None
    paths_refused: str | None
    separation: Separation | None
    separation_refused: str | None


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What `analyze` found; `print` it, or take `to_dict()`.

    Attributes:
        costs: one entry for each layer until they repeat.
        fields: what can influence the target after 0, 1, ... layers, counted back from the last.

    """

    spec: str
    network: str
    actors: int
    layers: int
    dim: int
    heads: int
    tile: int
    causal: bool
    costs: tuple[LayerCost, ...]
    coverage: Coverage
    target: int
    fields: tuple[ActorSet, ...]
    pair: Pair | None

    def total(self, what: str) -> int | None:
        """Add up one figure of `LayerCost` over all layers; None where a layer has none."""
        values = [getattr(self.costs[layer % len(self.costs)], what) for layer in range(self.layers)]
        return None if any(value is None for value in values) else sum(values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; path counts as decimal strings, since they pass 64 bits, sets as intervals."""
        found = {key: value for key, value in vars(self).items() if key not in ("costs", "fields", "coverage", "pair")}
        found["layer_costs"] = [asdict(cost) for cost in self.costs]
        found["coverage"] = asdict(self.coverage)
        found["field_sizes"] = [len(field) for field in self.fields]
        found["field"] = _plain_set(self.fields[-1])
        names = ("edges", "attention_flops", "projection_flops", "executed_flops", "decode_keys")
        found["total"] = {name: self.total(name) for name in names}
        found["pair"] = None
        if self.pair:
            found["pair"] = asdict(self.pair)
            if self.pair.paths:
                found["pair"]["paths"] = {name: str(count) for name, count in self.pair.paths.items()}
            if self.pair.separation:
                found["pair"]["separation"]["cut"] = _plain_set(self.pair.separation.cut)
        return found

    def __str__(self) -> str:
        return render(self)


def render(a: Analysis) -> str:
    """Lay out one analysis."""
    lines = [a.spec if len(a.spec) <= 500 else a.spec[:497] + "...", f"  {a.network}"]
    kind = "causal" if a.causal else "both directions"
    sizes = [_counted(a.actors, "actor"), _counted(a.layers, "layer"), f"dim {a.dim:,}", _counted(a.heads, "head")]
    lines.append(f"  {kind}; {', '.join(sizes)}")
    lines += ["", "reach", *_reach(a), "", f"cost of {_which(a)}", *_cost(a)]
    if a.pair:
        lines += ["", f"from actor {a.pair.source:,} to actor {a.pair.target:,}", *_pair(a.pair, a.layers)]
    wide = [textwrap.fill(line, 80, subsequent_indent=" " * 20, break_on_hyphens=False) for line in lines[1:]]
    return "\n".join([lines[0], *wide])


def compare(analyses: Sequence[Analysis]) -> str:
    """Lay out several analyses as a table, one a row; the figures are sums over all layers."""
    first = analyses[0]
    sums = ("edges", "executed_pairs", "attention_flops", "decode_keys", "depth")
    rows = [
        ["topology", "covered after", "field", "pairs", "executed", "FLOPs asked", "keys kept", "depth", "disjoint"]
    ]
    for a in analyses:
        cut = a.pair.separation if a.pair else None
        name = a.spec if len(a.spec) <= 48 else a.spec[:45] + "..."
        figures = [scaled(a.total(what)) for what in sums]
        disjoint = f"{cut.disjoint:,}" if cut else "-"
        rows.append([name, _covered(a), f"{len(a.fields[-1]):,}", *figures, disjoint])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    head = f"{_counted(first.actors, 'actor')}, {_counted(first.layers, 'layer')}, dim {first.dim:,}"
    head += f"; field: of actor {first.target:,}"
    if first.pair:
        head += f"; disjoint: paths from actor {first.pair.source:,} to actor {first.pair.target:,}"
    return "\n".join([head, "-: not causal, or too much work to compute; look at one topology alone", "", *lines])


def number(value: int | None) -> str:
    """Write a number that can be read: in full up to 15 digits, else by its leading digits, its power, and its bits."""
    if value is None:
        return "not computed"
    if abs(value) < 10**15:
        return f"{value:,}"
    exponent = int((value.bit_length() - 1) * 0.30102999)  # log10(2), rounded down: never above the true one
    exponent += len(str(value // 10**exponent)) - 1
    leading = value // 10 ** (exponent - 3)
    return f"{leading // 1000}.{leading % 1000:03d}e{exponent} ({value.bit_length():,} bits)"


def scaled(value: int | None) -> str:
    """Write a number with three leading digits and a decimal prefix.

    >>> scaled(2215658889216), scaled(515), scaled(None)
    ('2.22 T', '515', '-')
    """
    if value is None:
        return "-"
    for power, prefix in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.3g} {prefix}"
    return str(value)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _share(part: int, whole: int) -> str:
    """Write a part in per cent; only the whole is 100 %."""
    text = f"{100 * part / whole:.4g}"
    return f"{'over 99.99' if text == '100' and part < whole else text} %"


def _plain_set(actors: ActorSet) -> dict[str, Any]:
    shown = actors.intervals[:1000]
    return {"size": len(actors), "intervals": shown.tolist(), "cut_short": len(shown) < len(actors.intervals)}


def _covered(a: Analysis) -> str:
    c = a.coverage
    if c.layers is not None:
        return _counted(c.layers, "layer") + (" (sampled)" if c.share else "")
    return "never" if c.never else f"not in {a.layers:,}" + (" (sampled)" if c.share else "")


def _reach(a: Analysis) -> list[str]:
    c, field = a.coverage, a.fields[-1]
    if c.layers is not None:
        text = f"every actor is reached by all it may be after {_counted(c.layers, 'layer')}"
    elif c.never:
        text = "never complete, however many layers"
    else:
        text = f"not complete within {_counted(a.layers, 'layer')}"
    if c.reached:
        pairs = f"{c.reached[-1]:,} of {c.allowed:,} pairs ({_share(c.reached[-1], c.allowed)}), exact"
    else:
        assert c.share is not None
        share, low, high = c.share
        pairs = f"sampled: {share:.0%} of actors complete, 95 % interval {low:.0%} to {high:.0%}, seed {c.seed}"
    everyone = (1 << (a.target + 1 if a.causal else a.actors)) - 1
    residue = ActorSet(everyone & ~field.bits)
    sizes = [len(f) for f in a.fields]
    lines = [
        f"  all actors        {text}",
        f"                    {pairs}",
        f"  actor {a.target:<11,} {len(field):,} of {everyone.bit_length():,} that could: {field}",
    ]
    if len(residue):
        lines.append(f"                    not reached: {len(residue):,}: {residue}")
    shown = sizes if len(sizes) <= 9 else [*sizes[:6], *sizes[-2:]]
    words = [f"{size:,}" for size in shown]
    if len(sizes) > 9:
        words.insert(6, "...")
    lines.append(f"                    by layer {_spark(sizes)} {' '.join(words)}")
    return lines


def _which(a: Analysis) -> str:
    if len(a.costs) == 1:
        return "a layer" if a.layers > 1 else "the layer"
    return f"{a.layers:,} layers, from the least to the most"


def _cost(a: Analysis) -> list[str]:
    def span(what: str, write: Callable[[int], str] = number) -> str:
        values = [getattr(cost, what) for cost in a.costs]
        if any(value is None for value in values):
            return "not causal" if what == "decode_keys" and not a.causal else "not computed: too many pairs to list"
        low, high = min(values), max(values)
        return write(low) if low == high else f"{write(low)} to {write(high)}"

    whole = a.actors * (a.actors + 1) // 2 if a.causal else a.actors**2
    edges = max(a.costs, key=lambda cost: cost.edges)
    interval = edges.edges_interval
    share = f"{100 * edges.edges / whole:.3g} % of {'causal' if a.causal else 'full'} attention"
    asked, executed = a.total("edges"), a.total("executed_pairs")
    ratio = f" ({executed / asked:.2f} times asked)" if executed and asked else ""
    low, mean, high = (
        min(cost.degree[0] for cost in a.costs),
        sum(cost.degree[1] for cost in a.costs) / len(a.costs),
        max(cost.degree[2] for cost in a.costs),
    )
    keys = a.total("decode_keys")
    memory = f" keys, {_bytes(keys * 2 * a.dim * _VALUE_BYTES)} over all layers" if keys is not None else ""
    sampled = f", sampled: 95 % interval {interval[0]:,} to {interval[1]:,}" if interval else ""
    return [
        f"  pairs             {span('edges')} ({share}){sampled}",
        f"  keys of an actor  {low:,} to {high:,}, {mean:,.1f} on average",
        f"  FLOPs asked for   {span('attention_flops', scaled)} attention, "
        f"{scaled(edges.projection_flops)} projections",
        f"  pairs executed    {span('executed_pairs')}{ratio}, tiles of {a.tile}",
        f"  kept to decode    {span('decode_keys')}{memory}",
        f"  depth             {span('depth')} operations one after another",
    ]


def _pair(p: Pair, layers: int) -> list[str]:
    hops = f"not within {_counted(layers, 'layer')}" if p.hops is None else f"after {_counted(p.hops, 'layer')}"
    lines = [f"  arrives           {hops}"]
    if p.paths:
        lines.append(f"  paths             {number(p.paths['attention'])}")
        lines.append(f"    with residual   {number(p.paths['residual'])}")
        lines.append(f"    displacements   {number(p.paths['displacement'])}")
    else:
        lines.append(f"  paths             not computed: {p.paths_refused}")
    s = p.separation
    if s is None:
        return [*lines, f"  disjoint paths    not computed: {p.separation_refused}"]
    lines.append(
        f"  disjoint paths    {s.disjoint:,} over any number of layers{', one of them direct' if s.direct else ''}"
    )
    if len(s.cut):
        kind = "a hub" if len(s.cut) == 1 else "hubs"
        cut = f"actor{'s' * (len(s.cut) > 1)} {str(s.cut)[1:-1]}{f' ({kind})' if s.hub else ''}"
        lines.append(f"  thinnest place    {cut}{'; the direct edge remains' if s.direct else ''}")
    return lines


def _bytes(count: float) -> str:
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    return f"{count:,.4g} {units[0]}"


def _spark(sizes: Sequence[int]) -> str:
    bars = "▁▂▃▄▅▆▇█"
    picked = sizes if len(sizes) <= 24 else [sizes[round(i * (len(sizes) - 1) / 23)] for i in range(24)]
    return "".join(bars[min(7, 8 * size // (max(sizes) + 1))] for size in picked)
