"""A Mixtral whose experts and routers are removed while it runs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from chorus.audit import Subject, build
from chorus.audit.subjects.moe import Mixture

pytest.importorskip("transformers")
Auditing = Callable[[Subject], Any]  # of the fixture `audited`


@pytest.fixture(scope="module")
def moe() -> Subject:
    return build("moe")


def test_experts_and_routers(moe: Subject, audited: Auditing) -> None:
    function = moe.function
    assert function is not None
    assert function.score(frozenset()) == pytest.approx(1, abs=1e-6)
    for element in ("expert 0.0", "expert 1.3", "router 0"):
        assert function.score(frozenset({element})) < 1
    assert function.repair is not None
    # All experts of a layer gone is worse than any one of them.
    layer = frozenset(f"expert 0.{k}" for k in range(8))
    assert function.score(layer) < min(function.score(frozenset({name})) for name in layer)
    figures = moe.figures
    assert (
        float(figures["router entropy per token, nats"])
        <= float(figures["router entropy of the mean, nats"])
        <= np.log(8)
    )
    assert float(figures["N·Σ f·P (1 at balance)"]) == pytest.approx(1, abs=0.5)
    found = audited(moe)
    report = found.report
    assert {("router 0",), ("router 1",)} == set(found.values("AUD001"))
    assert report.conditions[0].parts["information share"] > 0.2  # languages have experts of their own


def test_gates_are_the_weights_that_the_model_used(moe: Subject) -> None:
    activity = moe.activity
    assert activity is not None
    first = moe.number("expert 0.0")
    gates = activity[:, first : first + 8]
    assert ((gates > 0).sum(axis=1) == 2).all()
    np.testing.assert_allclose(gates.sum(axis=1), 1, rtol=1e-5)


def test_a_fallback_router_uses_only_living_experts(mixtral: Any) -> None:
    model = mixtral.eval()
    parts = Mixture(model, torch.randint(0, 16, (2, 8)), 0)
    experts = next(module for name, module in model.named_modules() if name.endswith("experts"))
    used: list[Any] = []
    experts.register_forward_pre_hook(lambda _module, args: used.append((args[1].clone(), args[2].clone())))
    parts.run(frozenset({(0, 1)}), fallback=True)
    parts.run(frozenset({(0, 1)}))
    (index, weight), (dropped_index, dropped_weight) = used
    assert not (index == 1).any()
    torch.testing.assert_close(weight.sum(-1), torch.ones(16))
    assert (dropped_weight[dropped_index == 1] == 0).all()
    kept = parts.weights[0][dropped_index != 1]
    torch.testing.assert_close(dropped_weight[dropped_index != 1], kept)
