"""Where a system breaks: seven conditions, the weakest links with witnesses, and reports a build can fail on."""

from chorus.audit.attacks import AttackCurve, attack_curve
from chorus.audit.calibration import calibration_table
from chorus.audit.compare import compare, draw
from chorus.audit.components import articulation_points_and_bridges, core_numbers
from chorus.audit.conditions import Condition, conditions
from chorus.audit.cuts import Cut, minimum_link_cut, minimum_vertex_cut
from chorus.audit.dominators import immediate_dominators, strong_articulation_points_and_bridges
from chorus.audit.finding import Finding
from chorus.audit.graph import Graph
from chorus.audit.measure import Measured
from chorus.audit.nulls import rewired, z_scores
from chorus.audit.paths import betweenness, decisions, waist
from chorus.audit.readers import read_graph
from chorus.audit.remedies import Remedy
from chorus.audit.report import Report, Suppression, audit
from chorus.audit.reports import read_baseline, write
from chorus.audit.rules import RULES, Rule, find_rule
from chorus.audit.subject import Coordination, Function, Resource, Subject, from_networkx, from_topology
from chorus.audit.subjects import KINDS, build
from chorus.audit.suppressions import read_suppressions
from chorus.audit.witness import Check, Witness, recheck

__all__ = [
    "KINDS",
    "RULES",
    "AttackCurve",
    "Check",
    "Condition",
    "Coordination",
    "Cut",
    "Finding",
    "Function",
    "Graph",
    "Measured",
    "Remedy",
    "Report",
    "Resource",
    "Rule",
    "Subject",
    "Suppression",
    "Witness",
    "articulation_points_and_bridges",
    "attack_curve",
    "audit",
    "betweenness",
    "build",
    "calibration_table",
    "compare",
    "conditions",
    "core_numbers",
    "decisions",
    "draw",
    "find_rule",
    "from_networkx",
    "from_topology",
    "immediate_dominators",
    "minimum_link_cut",
    "minimum_vertex_cut",
    "read_baseline",
    "read_graph",
    "read_suppressions",
    "recheck",
    "rewired",
    "strong_articulation_points_and_bridges",
    "waist",
    "write",
    "z_scores",
]  # fmt: skip
