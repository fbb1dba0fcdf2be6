"""A backward pass written by hand: differentiable once, and in full precision."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch

from chorus.errors import InputError

T = TypeVar("T")


def once(backward: Callable[..., T]) -> Callable[..., T]:
    """Run a backward pass outside autocast, and raise InputError under `create_graph=True`: it has no derivative.

    `torch.autograd.function.once_differentiable` raises only where the second pass walks through it, and
    `torch.autograd.grad` walks to the tensors it was given alone: it would leave this part of a gradient penalty out,
    and say nothing.
    """

    @wraps(backward)
    def checked(ctx: Any, *grads: torch.Tensor) -> T:
        if torch.is_grad_enabled():
            raise InputError(
                "attention over a topology is differentiable once, and create_graph=True asks for twice: "
                'use executor="reference", which is dense'
            )
        with torch.autocast(grads[0].device.type, enabled=False):  # as the forward pass: what it kept has to fit
            return backward(ctx, *grads)

    return checked
