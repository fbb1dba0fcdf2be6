"""Who may read whom: one language for it, its exact analysis, and its execution plan.

>>> from chorus.topology import parse
>>> parse("sliding_window(256) | sink_tokens(4)").neighbors(300, layer=0, n=1024)[:6]
array([ 0,  1,  2,  3, 45, 46])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chorus.topology.convert import from_flash, from_hf, from_networkx
from chorus.topology.parser import parse
from chorus.topology.patterns import (
    boxes,
    causal,
    columns,
    complete,
    dilated,
    full,
    global_tokens,
    graph,
    groups,
    lattice,
    logarithmic,
    per_layer,
    power,
    random,
    ring,
    rows,
    sink_tokens,
    sliding_window,
    star,
)
from chorus.topology.topology import Topology

if TYPE_CHECKING:
    from chorus.topology.analysis import analyze
    from chorus.topology.cuts import Separation, separation
    from chorus.topology.paths import count_paths, path_counts
    from chorus.topology.planning import Plan, plan
    from chorus.topology.reach import ActorSet, Coverage, coverage, receptive_field
    from chorus.topology.report import Analysis

# Loaded when first asked for: the language alone needs no numpy, and is there in some hundredths of a second.
_LATER = {
    "ActorSet": "reach",
    "Analysis": "report",
    "Coverage": "reach",
    "Plan": "planning",
    "Separation": "cuts",
    "analyze": "analysis",
    "count_paths": "paths",
    "coverage": "reach",
    "path_counts": "paths",
    "plan": "planning",
    "receptive_field": "reach",
    "separation": "cuts",
}

__all__ = [
    "ActorSet",
    "Analysis",
    "Coverage",
    "Plan",
    "Separation",
    "Topology",
    "analyze",
    "boxes",
    "causal",
    "columns",
    "complete",
    "count_paths",
    "coverage",
    "dilated",
    "from_flash",
    "from_hf",
    "from_networkx",
    "full",
    "global_tokens",
    "graph",
    "groups",
    "lattice",
    "logarithmic",
    "parse",
    "path_counts",
    "per_layer",
    "plan",
    "power",
    "random",
    "receptive_field",
    "ring",
    "rows",
    "separation",
    "sink_tokens",
    "sliding_window",
    "star",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return __all__
