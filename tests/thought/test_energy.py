"""Energies are −log of two probabilities of a state, whatever the order of its cells."""

import torch
from small_minds import random_mind

from chorus.thought.energy import EnergyHead


def test_energy_is_minus_log_of_the_probability():
    head = random_mind().energy
    h = torch.randn(5, 16, 4, 16)
    with torch.no_grad():
        head.down.bias.zero_()
        logits = head.logits(h)
        for energy, logit in zip(head(h), logits.unbind(-1), strict=True):
            torch.testing.assert_close(energy, -torch.sigmoid(logit).log())
            assert energy.dtype == torch.float32


def test_energy_does_not_see_where_cells_and_symbols_lie():
    head = random_mind().energy
    h = torch.randn(3, 16, 4, 16)
    with torch.no_grad():
        mixed = h[:, torch.randperm(16)][:, :, torch.randperm(4)]
        torch.testing.assert_close(head(mixed), head(h))
        assert not torch.allclose(head(2 * h)[0], head(h)[0])


def test_energy_has_no_overflow():
    head = EnergyHead(random_mind().config)
    with torch.no_grad():
        head.down.bias.copy_(torch.tensor([1e4, -1e4]))
        viable, answer = head(torch.zeros(1, 16, 4, 16))
    assert viable.item() == 0
    assert abs(answer.item() - 1e4) < 10
