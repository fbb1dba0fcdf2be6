"""Small minds for tests: random ones, and one that is really trained on 4×4 Sudokus."""

from pathlib import Path

import torch

from chorus.thought import Mind, MindConfig, TerminationConfig
from chorus.thought.tasks import make_task

CONFIGS = Path(__file__).parents[2] / "configs"
NEVER = TerminationConfig(every=1, fixed_point=0, entropy=0)  # looks at every step and never stops anything

# 4×4 Sudokus with one solution each, and the solutions.
QUESTIONS = ["1.....3....2.4..", "4..3.........13.", ".......33..2.4..", ".24.........3..2"]


def random_mind(seed=0, task="sudoku4", **settings):
    """A mind with random weights, workspace included, whose thoughts differ from each other for long."""
    torch.manual_seed(seed)
    sizes = {"channels": 16, "key_channels": 4, "value_channels": 8, "hidden": 32, **settings}
    mind = Mind(MindConfig.for_task(make_task(task), **sizes)).eval()
    with torch.no_grad():
        if mind.workspace is not None:
            mind.workspace.embed.weight.normal_()
        mind.energy.down.weight *= 20  # random energies lie close together; this sets them apart, around 10 nats
        mind.energy.down.bias.fill_(-10)
    return mind


def sudoku4_questions(n, seed=0):
    """Question symbols int64 [n, 16] of generated 4×4 Sudokus."""
    questions, _ = make_task("sudoku4").generate(n, seed)
    return torch.as_tensor(questions.astype("int64"))


class Watcher:
    """An observer that keeps a copy of all it is shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, step, pool, look, verdict):
        copy = {name: value.clone() for name, value in vars(pool).items()}
        self.seen.append((step, copy, look, verdict))

    def states(self):
        """States by step: {step: [B, K, N, S, C]}."""
        return {step: pool["h"] for step, pool, _, _ in self.seen}


def count_rows(mind):
    """A list that grows by the number of rows of every application of the processor."""
    rows = []
    mind.processor.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    return rows


TINY_RUN = """
[model]
channels = 8
key_channels = 4
value_channels = 4
hidden = 8

[training]
updates = 4
problems = 4
segment = 2
segments = 2

[bank]
problems = 200
held_out = 5
"""


def train_sudoku4(folder):
    """Train a 4×4 Sudoku mind from scratch with the project's own run; gives its score on puzzles held out."""
    from chorus.thought.runs import RunSettings, TrainingRun

    run = TrainingRun(RunSettings.read(CONFIGS / "sudoku4.toml"), folder, device="cpu", precision="float32")
    for _ in run.updates():
        pass
    return run.measure()
