"""When to stop: a thought at a fixed point or without doubt, a problem whose pool agrees or is sure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chorus.thought.config import TerminationConfig


class Halt(IntEnum):
    """Why a problem stopped."""

    NONE = 0
    CONFIDENCE = 1
    AGREEMENT = 2
    FIXED_POINT = 3
    BUDGET = 4


@dataclass(frozen=True)
class TerminationDetector:
    """Look at a pool and say which thoughts rest and which problems are done.

    Args:
        config: thresholds.

    Source: halting where the state stops moving is that of equilibrium models (Bai, Kolter, Koltun 2019, arXiv
    1909.01377); halting by a learned estimate of being right is that of HRM and TRM.

    >>> detector = TerminationDetector(TerminationConfig(entropy=0.25, confidence=0.98))
    >>> belief = torch.tensor([[[[0.99, 0.01]], [[0.5, 0.5]]]])  # one problem, two thoughts, one cell, two symbols
    >>> settled = decided = detector.settled(belief)
    >>> settled
    tensor([[ True, False]])
    >>> answer, moving = belief.argmax(-1), torch.zeros(1, 2, dtype=torch.bool)
    >>> for energy in ([0.001, 5.0], [5.0, 0.001]):  # nats; which of the two is sure of itself
    ...     reason = detector.halted(answer, settled, decided, moving, torch.tensor([energy]), stuck_is_final=False)
    ...     Halt(int(reason)).name
    'CONFIDENCE'
    'NONE'
    """

    config: TerminationConfig

    def settled(self, belief: Float[Tensor, "B K N V"]) -> Bool[Tensor, "B K"]:
        """Return which thoughts have no doubt left: their most uncertain cell has little entropy.

        Args:
            belief: probabilities of the answer symbols, float [B, K, N, V].
        """
        entropy = torch.special.entr(belief).sum(-1).amax(-1)
        settled: Tensor = entropy < self.config.entropy
        return settled

    def halted(
        self,
        answer: Int[Tensor, "B K N"],
        settled: Bool[Tensor, "B K"],
        decided: Bool[Tensor, "B K"],
        fixed: Bool[Tensor, "B K"],
        energy: Float[Tensor, "B K"],
        stuck_is_final: bool,
    ) -> Int[Tensor, " B"]:
        """Return the reason (`Halt`) for each problem to stop now, or `Halt.NONE`; int64 [B].

        Args:
            answer: what each thought would answer.
            settled: thoughts without doubt.
            decided: thoughts that have an answer (`Look.decided`); of no other is the energy believed.
            fixed: thoughts at a fixed point.
            energy: answer energies in nats.
            stuck_is_final: nothing will move a thought at a fixed point any more (no competition).
        """
        sure = ((energy < -torch.log(torch.tensor(min(self.config.confidence, 1.0)))) & decided).any(1)
        best = energy.masked_fill(~settled, torch.inf).argmin(1)
        same = (answer == answer[torch.arange(len(answer), device=answer.device), best][:, None]).all(-1) & settled
        agreed = same.float().mean(1) >= self.config.agreement
        reason = torch.full_like(best, Halt.NONE)
        if stuck_is_final:
            reason[(fixed | settled).all(1)] = Halt.FIXED_POINT
        reason[agreed & settled.any(1)] = Halt.AGREEMENT
        reason[sure] = Halt.CONFIDENCE
        return reason
