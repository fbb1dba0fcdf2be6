"""Who may read whom: one language for it, its exact analysis, and its execution plan.

>>> from chorus.topology import parse
>>> parse("sliding_window(256) | sink_tokens(4)").neighbors(300, layer=0, n=1024)[:6]
array([ 0,  1,  2,  3, 45, 46])
"""

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
from chorus.topology.plan import Plan, plan
from chorus.topology.topology import Topology

__all__ = [
    "Plan",
    "Topology",
    "boxes",
    "causal",
    "columns",
    "complete",
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
    "per_layer",
    "plan",
    "power",
    "random",
    "ring",
    "rows",
    "sink_tokens",
    "sliding_window",
    "star",
]
