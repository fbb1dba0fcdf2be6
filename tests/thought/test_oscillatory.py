"""Cells as oscillators: on their spheres at every step, and able to learn."""

import pytest
import torch

from chorus.errors import InputError
from chorus.thought import BankSource, Mind, MindConfig, TrainConfig, Trainer, make_bank
from chorus.thought.tasks import make_task


def small(**settings: object) -> MindConfig:
    task = make_task("sudoku4")
    small = {"channels": 16, "hidden": 32, "key_channels": 4, "value_channels": 8, "processor": "oscillatory"}
    return MindConfig.for_task(task, **{**small, **settings})


@pytest.mark.parametrize("dims", [2, 4, 8, 16])
def test_states_stay_on_their_spheres_over_many_steps(dims: int) -> None:
    torch.manual_seed(0)
    mind = Mind(small(oscillator_dims=dims))
    h, context = torch.randn(3, 16, 4, 16), torch.randn(3, 16, 4, 16)
    with torch.no_grad():
        for _ in range(200):
            h = mind.processor(h, context)
    torch.testing.assert_close(h.unflatten(-1, (-1, dims)).norm(dim=-1), torch.ones(3, 16, 4, 16 // dims))


def test_natural_frequencies_turn_cells_that_nothing_pulls() -> None:
    torch.manual_seed(0)
    mind = Mind(small(oscillator_dims=2))
    for weight in (mind.processor.read.out.weight, mind.processor.down.weight):
        torch.nn.init.zeros_(weight)
    angle = torch.rand(1, 16, 4, 8) * 6.28
    h = torch.stack([angle.cos(), angle.sin()], dim=-1).flatten(-2)
    with torch.no_grad():
        moved = mind.processor(h, torch.zeros_like(h)).unflatten(-1, (-1, 2))
    turned = torch.atan2(moved[..., 1], moved[..., 0]) - angle
    expected = mind.processor.omega[:, 0] * mind.processor.log_dt.exp()
    torch.testing.assert_close(turned.cos(), expected.cos().expand_as(turned), atol=1e-4, rtol=0)
    torch.testing.assert_close(turned.sin(), expected.sin().expand_as(turned), atol=1e-4, rtol=0)


def test_it_learns_a_small_sudoku() -> None:
    torch.manual_seed(0)
    task = make_task("sudoku4")
    questions, answers = make_bank(task, 1000, seed=1)
    trainer = Trainer(
        Mind(small()),
        BankSource(task, questions, answers),
        TrainConfig(updates=250, problems=48, segment=6, segments=4),
    )
    reports = list(trainer.steps())
    assert reports[0].cross_entropy > 1.2
    assert sum(report.cross_entropy for report in reports[-20:]) / 20 < 0.2


def test_spheres_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(InputError, match="do not divide 16 channels"):
        small(oscillator_dims=3)
