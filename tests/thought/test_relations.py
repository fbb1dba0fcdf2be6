"""The three forms of a relation against softmax attention written out cell by cell, gradients included."""

import pytest
import torch

from chorus.errors import InputError
from chorus.thought.relations import Relation
from chorus.topology import parse

CASES = [
    ("rows(3, 4)", 12, "groups"),
    ("columns(3, 4)", 12, "groups"),
    ("boxes(4, 4, 2, 2)", 16, "groups"),
    ("full()", 5, "groups"),
    ("full()", 1, "groups"),
    ("lattice(5, 5)", 25, "table"),
    ("ring(2) | sink_tokens(1)", 16, "dense"),
    ("sliding_window(3)", 16, "table"),
    ("groups([[0, 1, 2], [3, 4]])", 5, "dense"),
    ("causal()", 7, "dense"),
]


def by_definition(spec, q, k, v):
    mask = parse(spec).mask(q.shape[1])
    out = torch.zeros_like(v)
    for cell in range(q.shape[1]):
        read = torch.as_tensor(mask[cell]).nonzero().flatten()
        scores = torch.stack([(q[:, cell] * k[:, other]).sum(-1) for other in read], -1) / q.shape[-1] ** 0.5
        out[:, cell] = torch.einsum("rm,rmf->rf", scores.softmax(-1), v[:, read])
    return out


def draw(cells):
    torch.manual_seed(cells)
    sizes = (3, cells, 4), (3, cells, 4), (3, cells, 6)
    return [torch.randn(*size, dtype=torch.float64, requires_grad=True) for size in sizes]


@pytest.mark.parametrize(("spec", "cells", "chosen"), CASES)
def test_every_form_is_the_definition(spec, cells, chosen):
    assert Relation(spec, cells).form == chosen
    inputs = draw(cells)
    target = torch.randn(3, cells, 6, dtype=torch.float64)
    expected = by_definition(spec, *inputs)
    gradients = torch.autograd.grad((expected * target).sum(), inputs)
    for form in ("groups", "table", "dense") if chosen == "groups" else ("table", "dense"):
        relation = Relation(spec, cells, form).double()
        out = relation(*inputs)
        torch.testing.assert_close(out, expected)
        found = torch.autograd.grad((out * target).sum(), inputs)
        torch.testing.assert_close(found, gradients)
        assert relation.edges == parse(spec).mask(cells).sum()


def test_what_a_relation_refuses():
    with pytest.raises(InputError, match="cell 0 may read nobody"):
        Relation("causal() - sliding_window(1)", 4)
    with pytest.raises(InputError, match="not a partition"):
        Relation("causal()", 4, "groups")
    with pytest.raises(InputError):
        Relation("rows(3, 3)", 10)
