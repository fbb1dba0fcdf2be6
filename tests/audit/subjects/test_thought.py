"""A mind that thinks again without its parts."""

from pathlib import Path

import numpy as np
import pytest
import torch

from chorus.audit import build
from chorus.thought import Checkpoint, Mind, MindConfig, ThinkConfig
from chorus.thought.tasks import make_task


def test_a_mind_is_audited_by_thinking_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = make_task("sudoku4")
    mind = Mind(MindConfig.for_task(task, channels=16, hidden=16, heads=2, key_channels=8, value_channels=8)).eval()
    Checkpoint(mind=mind, task=task).save(tmp_path)
    subject = build("thought", str(tmp_path))
    function = subject.function
    assert function is not None
    assert {"thought 0", "energy head"} <= set(function.candidates)
    questions, answers = task.generate(24, 0)
    tokens = torch.as_tensor(questions.astype(np.int64))
    right = torch.as_tensor(answers.astype(np.int64))
    assert function.score(frozenset(name for name in function.candidates if name.startswith("thought"))) == 0
    # What is left of eight thoughts without the last one is what seven thoughts are.
    seven = mind.think(tokens, ThinkConfig(thoughts=7, steps=16, competition=None))
    assert function.score(frozenset({"thought 7"})) == pytest.approx(
        float((seven.answer == right).all(1).float().mean())
    )
