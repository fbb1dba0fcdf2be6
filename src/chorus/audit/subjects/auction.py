"""Zero-intelligence traders in a continuous double auction (Gode and Sunder, J. Political Economy 101, 1993)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CEILING = 200.0


@dataclass(frozen=True)
class Session:
    """One trading period: who traded at which price, how often each trader quoted, and the surplus realised."""

    trades: tuple[tuple[int, int, float], ...]  # buyer, seller, price
    quotes: NDArray[np.int64]
    surplus: float


def best_surplus(values: Floats, costs: Floats) -> float:
    """Return the most that trade can gain: the highest values matched with the lowest costs."""
    pairs = min(len(values), len(costs))
    gains = np.sort(values)[::-1][:pairs] - np.sort(costs)[:pairs]
    return float(gains[gains > 0].sum())


def trade(
    values: Floats, costs: Floats, generator: np.random.Generator, *, constrained: bool = True, quotes: int = 3000
) -> Session:
    """Run one period in which every buyer and seller may trade one unit.

    A trader drawn at random quotes a random price: a buyer up to its value and a seller from its cost when
    `constrained` (ZI-C), anything up to the ceiling otherwise (ZI-U). A bid that meets the standing ask, or the other
    way round, trades at the standing price, and the book is cleared.

    Args:
        values: (buyers,) what a unit is worth to each.
        costs: (sellers,) what a unit costs each.
        generator: source of the draws.
        constrained: whether nobody may trade at a loss.
        quotes: quotes in the period.

    Example:
        >>> session = trade(np.array([100.0]), np.array([50.0]), np.random.default_rng(0))
        >>> session.surplus
        50.0

    """
    buyers, traders = len(values), len(values) + len(costs)
    who = generator.integers(0, max(traders, 1), quotes).tolist()
    height = generator.random(quotes).tolist()
    done = [False] * traders
    quoted = [0] * traders
    bid, ask, bidder, asker = -1.0, CEILING + 1, -1, -1
    trades: list[tuple[int, int, float]] = []
    worth, cost = values.tolist(), costs.tolist()
    if not buyers or traders == buyers:
        return Session((), np.array(quoted, np.int64), 0.0)
    for trader, draw in zip(who, height, strict=True):
        if done[trader]:
            continue
        quoted[trader] += 1
        if trader < buyers:
            price = 1 + draw * ((worth[trader] if constrained else CEILING) - 1)
            if price > bid:
                bid, bidder = price, trader
        else:
            floor = cost[trader - buyers] if constrained else 1.0
            price = floor + draw * (CEILING - floor)
            if price < ask:
                ask, asker = price, trader - buyers
        if bid >= ask:
            trades.append((bidder, asker, ask if trader < buyers else bid))
            done[bidder] = done[asker + buyers] = True
            bid, ask, bidder, asker = -1.0, CEILING + 1, -1, -1
    gained = sum(worth[buyer] - cost[seller] for buyer, seller, _ in trades)
    return Session(tuple(trades), np.array(quoted, np.int64), float(gained))


def efficiency(
    values: Floats,
    costs: Floats,
    *,
    seed: int = 0,
    periods: int = 10,
    constrained: bool = True,
    best: float | None = None,
) -> float:
    """Return the share of the possible surplus that is realised, over several periods.

    Args:
        values: (buyers,) values.
        costs: (sellers,) costs.
        seed: of the draws.
        periods: periods to average.
        constrained: budget constraint (ZI-C) or none (ZI-U).
        best: the surplus to compare with; what these traders could gain when None.

    """
    generator = np.random.default_rng(seed)
    possible = best_surplus(values, costs) if best is None else best
    if possible <= 0:
        return 0.0
    gained = [trade(values, costs, generator, constrained=constrained).surplus for _ in range(periods)]
    return float(np.mean(gained)) / possible


def equilibrium(values: Floats, costs: Floats) -> float:
    """Return the price at which demand meets supply: the middle of the band that the marginal pair leaves open.

    Example:
        >>> equilibrium(np.array([9.0, 7.0, 1.0]), np.array([2.0, 4.0, 8.0]))
        5.5

    """
    worth, cost = np.sort(values)[::-1], np.sort(costs)
    k = int((worth[: len(cost)] >= cost[: len(worth)]).sum())  # pairs that gain from trade
    low = max(cost[k - 1], worth[k] if k < len(worth) else 0.0)
    high = min(worth[k - 1], cost[k] if k < len(cost) else CEILING)
    return float(low + high) / 2


def smith_alpha(prices: Floats, equilibrium: float) -> float:
    """Return Smith's α: root mean squared distance of prices from the equilibrium, relative to it (Smith 1962)."""
    return float(np.sqrt(np.mean((prices - equilibrium) ** 2)) / equilibrium)


def gini(amounts: Floats) -> float:
    """Return the Gini coefficient, 0 when all have the same.

    Example:
        >>> gini(np.array([0.0, 0.0, 0.0, 1.0]))
        0.75

    """
    ordered = np.sort(amounts)
    n = len(ordered)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum())) if ordered.sum() > 0 else 0.0
