"""Gode and Sunder's traders and DebtRank: the published figures, and small cases by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chorus.audit import Subject, build
from chorus.audit.subjects.auction import best_surplus, efficiency, equilibrium, gini, smith_alpha, trade
from chorus.audit.subjects.debtrank import debtrank, distress
from chorus.errors import InputError

Auditing = Callable[[Subject], Any]  # of the fixture `audited`


def test_zero_intelligence_with_a_budget_constraint_is_efficient() -> None:
    # Gode and Sunder 1993: at least 95 % with the constraint, and more than without it.
    values, costs = np.linspace(140, 60, 16), np.linspace(40, 110, 16)
    for seed in range(5):
        constrained = efficiency(values, costs, seed=seed, periods=20)
        free = efficiency(values, costs, seed=seed, periods=20, constrained=False)
        assert constrained >= 0.95
        assert constrained > free + 0.1


def test_no_trader_with_a_constraint_trades_at_a_loss() -> None:
    values, costs = np.array([90.0, 70.0, 30.0]), np.array([20.0, 50.0, 80.0])
    generator = np.random.default_rng(0)
    for _ in range(50):
        session = trade(values, costs, generator)
        for buyer, seller, price in session.trades:
            assert costs[seller] <= price <= values[buyer]
        assert len({buyer for buyer, _, _ in session.trades}) == len(session.trades)
    assert best_surplus(values, costs) == 70 + 20
    assert equilibrium(values, costs) == 60  # between the marginal pair's 50 and 70
    assert smith_alpha(np.array([50.0, 70.0]), 60) == pytest.approx(1 / 6)
    assert gini(np.ones(5)) == pytest.approx(0)


def test_debtrank_by_hand() -> None:
    # 0 owes 1 four of its equity of ten, 1 owes 2 five of its ten; 2 owes 0 everything.
    lent = np.array([[0, 0, 20.0], [4, 0, 0], [0, 5, 0]])
    equity = np.full(3, 10.0)
    assert distress(lent, equity, [0]).tolist() == [1, pytest.approx(0.4), pytest.approx(0.2)]
    value = np.array([20, 4, 5]) / 29
    assert debtrank(lent, equity, [0]) == pytest.approx(0.4 * value[1] + 0.2 * value[2])
    # Around the cycle once: 2's distress reaches 0, and what 0 then has is passed to 1 once.
    assert distress(lent, equity, [2]).tolist() == [1, pytest.approx(0.4), 1]
    assert debtrank(np.zeros((2, 2)), equity[:2], [0]) == 0


def test_the_market_hangs_on_its_book(audited: Auditing) -> None:
    subject = build("market")
    found = audited(subject)
    report = found.report
    assert found.values("AUD010")[("order book",)] == 1
    assert next(iter(found.values("AUD001"))) == ("order book",)
    assert report.conditions[6].score == 0
    assert report.figures["allocative efficiency, budget constraint"] >= 0.95


def test_exposure_file(tmp_path: Path, audited: Auditing) -> None:
    path = tmp_path / "banks.csv"
    path.write_text("lender,borrower,amount\nB,A,4\nC,B,5\nA,C,20\nA,,10\nB,,10\nC,,10\n")
    subject = build("market", str(path))
    assert subject.function is not None
    value = np.array([4, 5, 20]) / 29  # B, C, A in the order of the file
    assert subject.elements == ("B", "A", "C")
    assert subject.function.score(frozenset({"A"})) == pytest.approx(1 - 20 / 29 - 0.4 * value[0] - 0.2 * value[1])
    found = audited(subject)
    report = found.report
    assert report.findings[0].line is not None or report.findings[0].rule == "AUD010"
    for bad, what in [
        ("A,B\n", "2 columns"), ("A,B,x\n", "not a number"), ("A,B,-1\n", "at least 0"), ("A,B,1\n", "no equity"),
        ("A,A,1\n", "another bank"),
    ]:  # fmt: skip
        path.write_text(bad)
        with pytest.raises(InputError, match=what):
            build("market", str(path))
