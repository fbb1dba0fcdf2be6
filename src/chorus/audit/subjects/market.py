"""A market: zero-intelligence traders at one order book, and the banks that hold their accounts.

The generated market has 16 buyers and 16 sellers with one unit each, whose values and costs rise evenly; six banks
lend to each other in a core of two and a periphery of four. A trader can trade while the book is there and its bank has
not defaulted. What is kept of the function is the lesser of the allocative efficiency and of the banks' value that
DebtRank leaves. A file gives exposures instead, and the banks are audited alone.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chorus.audit.graph import Graph
from chorus.audit.readers import read_text
from chorus.audit.subject import Coordination, Function, Origin, Resource, Subject
from chorus.audit.subjects.auction import best_surplus, efficiency, equilibrium, gini, smith_alpha, trade
from chorus.audit.subjects.debtrank import debtrank, distress
from chorus.errors import InputError

Floats = NDArray[np.float64]
SIDE, BANKS = 16, 6
BOOK = "order book"


def build(path: str | None = None, *, seed: int = 0) -> Subject:
    """Build the market, or the banks of an exposure file.

    Args:
        path: CSV `lender,borrower,amount`; a line with an empty borrower is the lender's equity.
        seed: of the draws.

    """
    return _from_file(Path(path)) if path is not None else _generated(seed)


def _value_kept(exposures: Floats, equity: Floats, failed: list[int]) -> float:
    lent = exposures.sum(axis=1)
    value = lent / lent.sum() if lent.sum() > 0 else np.full(len(equity), 1 / len(equity))
    return float(max(0.0, 1 - value[failed].sum() - debtrank(exposures, equity, failed)))


def _generated(seed: int) -> Subject:
    generator = np.random.default_rng(seed)
    values, costs = np.linspace(140, 60, SIDE), np.linspace(40, 110, SIDE)
    buyers, sellers = [f"buyer {k}" for k in range(SIDE)], [f"seller {k}" for k in range(SIDE)]
    banks = [f"bank {k}" for k in range(BANKS)]
    elements = (*buyers, *sellers, BOOK, *banks)
    number = {name: k for k, name in enumerate(elements)}
    account = {trader: f"bank {k % BANKS}" for k, trader in enumerate((*buyers, *sellers))}
    exposures = np.zeros((BANKS, BANKS))
    for lender in range(BANKS):
        for borrower in range(BANKS):
            core = lender < 2 and borrower < 2
            if lender != borrower and (core or (lender < 2) != (borrower < 2)):
                exposures[lender, borrower] = generator.uniform(2, 6) * (2 if core else 1)
    equity = np.full(BANKS, 20.0)
    best = best_surplus(values, costs)
    traders = (*buyers, *sellers)

    def run(gone: frozenset[str], shared: Floats = exposures) -> float:
        fallen = [k for k, bank in enumerate(banks) if bank in gone]
        h = distress(shared, equity, fallen)
        broke = {bank for k, bank in enumerate(banks) if h[k] >= 1 - 1e-12}
        out = {trader for trader in traders if trader in gone or account[trader] in broke}
        if BOOK in gone:
            return 0.0
        left = efficiency(
            values[[k for k, name in enumerate(buyers) if name not in out]],
            costs[[k for k, name in enumerate(sellers) if name not in out]],
            seed=seed,
            best=best,
        )
        return min(left, _value_kept(shared, equity, fallen))

    def repair(name: str) -> tuple[str, float]:
        if name == BOOK:
            half = efficiency(values[1::2], costs[1::2], seed=seed, best=best)
            return "two books with every other trader each; one of them is left", half
        if name in banks:
            spread = exposures.copy()
            spread[:, banks.index(name)] /= 2
            return "halve what the others have lent to it", run(frozenset({name}), spread)
        return "let a trader with the same value take its place", run(frozenset())

    links = [(number[trader], number[BOOK]) for trader in traders] + [
        (number[BOOK], number[trader]) for trader in traders
    ]
    links += [(number[account[trader]], number[trader]) for trader in traders]
    links += [(number[banks[j]], number[banks[i]]) for i in range(BANKS) for j in range(BANKS) if exposures[i, j] > 0]
    activity, stimuli, alpha, shares = _periods(values, costs, generator, len(elements), number[BOOK])
    quotes = activity[:, : 2 * SIDE].sum()
    trades = activity[:, number[BOOK]].sum()
    coordination = Coordination(
        agreement=max(0.0, 1 - alpha),
        cost=float(quotes - 2 * trades),
        total=float(quotes),
        share=np.eye(len(elements))[number[BOOK]],
        how="agreement is 1 − Smith's α; cost the quotes that led to no trade; all go over the book",
    )
    return Subject(
        name="market",
        elements=elements,
        graph=Graph.of(len(elements), links),
        resources=tuple(
            Resource(f"accounts at {bank}", tuple(t for t in traders if account[t] == bank)) for bank in banks
        ),
        activity=activity,
        stimuli=stimuli,
        coordination=coordination,
        function=Function("the lesser of allocative efficiency and value kept", run, (*traders, BOOK, *banks), repair),
        figures={
            "allocative efficiency, budget constraint": efficiency(values, costs, seed=seed),
            "allocative efficiency, no constraint": efficiency(values, costs, seed=seed, constrained=False),
            "Smith's α": alpha,
            "Gini of traders' gains": gini(shares),
            "largest DebtRank of a bank": max(debtrank(exposures, equity, [k]) for k in range(BANKS)),
        },
        model="zero-intelligence traders with a budget constraint (Gode and Sunder 1993) at one order book, banking "
        "with a core–periphery interbank network under DebtRank (Battiston et al. 2012); generated",
    )


def _periods(
    values: Floats, costs: Floats, generator: np.random.Generator, n: int, book: int
) -> tuple[Floats, NDArray[np.int64], float, Floats]:
    """Trade under three levels of demand: quotes by trader, trades at the book and at each bank; α; gains."""
    rows, labels, distances = [], [], []
    gains = np.zeros(len(values) + len(costs))
    for label, shift in enumerate((-20.0, 0.0, 20.0)):
        shifted = np.clip(values + shift, 2, None)
        for _ in range(8):
            session = trade(shifted, costs, generator)
            row = np.zeros(n)
            row[: len(session.quotes)] = session.quotes
            row[book] = len(session.trades)
            for buyer, seller, _ in session.trades:
                for trader in (buyer, len(values) + seller):
                    row[book + 1 + trader % BANKS] += 1
            rows.append(row)
            labels.append(label)
            distances.append(
                smith_alpha(np.array([price for _, _, price in session.trades]), equilibrium(shifted, costs))
            )
            for buyer, seller, price in session.trades:
                gains[buyer] += shifted[buyer] - price
                gains[len(values) + seller] += price - costs[seller]
    return np.stack(rows), np.array(labels, np.int64), float(np.mean(distances)), gains


def _from_file(path: Path) -> Subject:
    lent: list[tuple[str, str, float, int]] = []
    equity: dict[str, tuple[float, int]] = {}
    reader = csv.reader(io.StringIO(read_text(path)))
    for row in reader:
        line = reader.line_num
        if not row or row[0].startswith("#") or row[0].strip().lower() == "lender":
            continue
        if len(row) != 3:
            raise InputError(f"{path}:{line}: expected `lender,borrower,amount`, got {len(row)} columns")
        lender, borrower, text = (field.strip() for field in row)
        try:
            amount = float(text)
        except ValueError:
            raise InputError(f"{path}:{line}: the amount {text!r} is not a number") from None
        if not math.isfinite(amount) or amount < 0 or (not borrower and amount == 0):
            raise InputError(f"{path}:{line}: the amount {text} must be finite and at least 0 (an equity above 0)")
        if not lender or lender == borrower:
            raise InputError(f"{path}:{line}: a bank lends to another bank; got {lender!r} to {borrower!r}")
        if borrower:
            lent.append((lender, borrower, amount, line))
        else:
            equity[lender] = (amount, line)
    names = tuple(dict.fromkeys([*(n for row in lent for n in row[:2]), *equity]))
    for name in names:
        if name not in equity:
            raise InputError(f"{path}: no equity for {name!r}; add a line `{name},,AMOUNT`")
    number = {name: k for k, name in enumerate(names)}
    exposures = np.zeros((len(names), len(names)))
    for lender, borrower, amount, _ in lent:
        exposures[number[lender], number[borrower]] += amount
    buffers = np.array([equity[name][0] for name in names])

    def failing(gone: Iterable[str]) -> list[int]:
        return sorted(number[name] for name in gone)

    def repair(name: str) -> tuple[str, float]:
        spread = exposures.copy()
        spread[:, number[name]] /= 2
        return "halve what the others have lent to it", _value_kept(spread, buffers, [number[name]])

    edges = [(number[borrower], number[lender]) for lender, borrower, _, _ in lent]
    return Subject(
        name=path.name,
        elements=names,
        graph=Graph.of(len(names), edges),
        weights=np.array([amount for _, _, amount, _ in lent]),
        function=Function(
            "the banks' value kept (1 − DebtRank)",
            lambda gone: _value_kept(exposures, buffers, failing(gone)),
            names,
            repair,
        ),
        figures={
            "largest DebtRank of a bank": max(
                (debtrank(exposures, buffers, [k]) for k in range(len(names))), default=0.0
            )
        },
        model="interbank exposures read from CSV; an edge leads from a borrower to its lender, the way a loss goes",
        origin=Origin(path.as_posix(), tuple(equity[name][1] for name in names), tuple(line for *_, line in lent)),
    )
