"""DebtRank: how much of a banking system's value the distress of one bank takes (Battiston et al. 2012)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def distress(exposures: Floats, equity: Floats, failed: Iterable[int]) -> Floats:
    """Return each bank's final distress, 0 to 1, once `failed` have defaulted.

    Bank j loses W_ij = min(1, exposure of j to i / equity of j) times the distress that i newly has. Every bank passes
    distress on once, in the round after it first got some, so that no impact walks around a cycle twice.

    Args:
        exposures: (n, n), what the row's bank has lent to the column's bank, ≥ 0.
        equity: (n,), > 0.
        failed: banks in default at the start.

    Source:
        Battiston, Puliga, Kaushik, Tasca, Caldarelli, Scientific Reports 2:541 (2012), equations 1 to 3.

    Example:
        >>> lent = np.array([[0.0, 0.0], [5.0, 0.0]])  # bank 1 has lent 5 to bank 0
        >>> distress(lent, np.array([10.0, 10.0]), [0]).tolist()
        [1.0, 0.5]

    """
    impact = np.minimum(1.0, exposures / equity[:, None]).T  # impact[i, j]: of i on j
    h = np.zeros(len(equity))
    h[list(failed)] = 1.0
    active, spent = h > 0, np.zeros(len(equity), np.bool_)
    while active.any():
        after = np.minimum(1.0, h + impact[active].T @ h[active])
        spent |= active
        active = (after > 0) & ~spent
        h = after
    return h


def debtrank(exposures: Floats, equity: Floats, failed: Iterable[int]) -> float:
    """Return the share of the system's value lost beyond that of the banks that failed first (equation 4).

    A bank's share of the value is its share of all that is lent; equal shares where nothing is.
    """
    lent = exposures.sum(axis=1)
    value = lent / lent.sum() if lent.sum() > 0 else np.full(len(equity), 1 / len(equity))
    start = np.zeros(len(equity))
    start[list(failed)] = 1.0
    return float((distress(exposures, equity, failed) - start) @ value)
