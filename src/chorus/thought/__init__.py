"""A mind: encoder, thought pool, processor, workspace, competition, halting, decoder; training; tasks.

The names are loaded when they are first used, so that the puzzle generators of `chorus.thought.tasks` do not pay for
torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chorus.thought.checkpoint import Checkpoint, load_checkpoint, shipped_models
    from chorus.thought.config import CompetitionConfig, MindConfig, TerminationConfig, ThinkConfig
    from chorus.thought.evaluation import Outcomes, Score, evaluate, flops_per_row, outcomes, sweep, wilson
    from chorus.thought.model import Mind, Thinking
    from chorus.thought.sources import BankSource, make_bank, without
    from chorus.thought.thinker import Answer, Thinker
    from chorus.thought.trace import Event, Frame, Trace
    from chorus.thought.training import TrainConfig, Trainer

_HOME = {
    "checkpoint": ("Checkpoint", "load_checkpoint", "shipped_models"),
    "config": ("CompetitionConfig", "MindConfig", "TerminationConfig", "ThinkConfig"),
    "evaluation": ("Outcomes", "Score", "evaluate", "flops_per_row", "outcomes", "sweep", "wilson"),
    "model": ("Mind", "Thinking"),
    "sources": ("BankSource", "make_bank", "without"),
    "thinker": ("Answer", "Thinker"),
    "trace": ("Event", "Frame", "Trace"),
    "training": ("TrainConfig", "Trainer"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Answer",
    "BankSource",
    "Checkpoint",
    "CompetitionConfig",
    "Event",
    "Frame",
    "Mind",
    "MindConfig",
    "Outcomes",
    "Score",
    "TerminationConfig",
    "ThinkConfig",
    "Thinker",
    "Thinking",
    "Trace",
    "TrainConfig",
    "Trainer",
    "evaluate",
    "flops_per_row",
    "load_checkpoint",
    "make_bank",
    "outcomes",
    "shipped_models",
    "sweep",
    "wilson",
    "without",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
