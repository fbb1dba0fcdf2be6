"""The N-dimensional Kuramoto step in torch: batched, differentiable, on any device.

The same map as `chorus.dynamics.sphere.sphere_step`; kept apart so that `import chorus.dynamics` loads no torch.
Shapes: N oscillators in D dimensions, `...` any batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chorus.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float


def step(
    x: Float[Tensor, "... n d"],
    messages: Float[Tensor, "... n d"],
    omega: Float[Tensor, "..."] | None,
    dt: float | Tensor,
) -> Float[Tensor, "... n d"]:
    """One step of ẋ = Ωx + P(x)·messages on the unit sphere: along a great circle, then through exp(Ω dt).

    Differentiable in x, messages, omega and dt everywhere, also where a message is zero or along x.

    Args:
        x: unit vectors.
        messages: c_i + Σ_j J_ij x_j, per second: conditioning plus coupling, however it was found.
        omega: natural rotation, rad/s: antisymmetric matrices [..., D, D]; or [..., D // 2], one frequency for each
            pair of axes (0, 1), (2, 3), … (an odd last axis stays still), which costs O(D); or None. Its leading
            axes broadcast with those of x.
        dt: seconds, above 0.

    Raises:
        InputError: sizes that do not fit, or dt ≤ 0.

    >>> x = torch.tensor([[1.0, 0.0]])
    >>> step(x, torch.zeros(1, 2), torch.tensor([torch.pi / 2]), dt=0.5).round(decimals=4).tolist()
    [[0.707099974155426, 0.707099974155426]]

    """
    d = x.shape[-1]
    if d < 2 or messages.shape[-1] != d:
        raise InputError(f"x, messages: last axes {d} and {messages.shape[-1]}, expected the same D ≥ 2")
    if not isinstance(dt, Tensor) and not dt > 0:
        raise InputError(f"dt: got {dt!r}, must be above 0")
    pull = (messages - (messages * x).sum(-1, keepdim=True) * x) * dt
    x = _great_circle(x, pull)
    if omega is not None:
        x = _turn(x, omega * dt)
    # One Newton step to |x|² = 1, against rounding: without it float32 drifts off the sphere over long runs.
    return x * (1.5 - 0.5 * (x * x).sum(-1, keepdim=True))


def flow(
    x: Float[Tensor, "... d"], messages: Float[Tensor, "... d"], omega: Float[Tensor, "... h"], dt: Float[Tensor, ""]
) -> Float[Tensor, "... d"]:
    """One step in which no message, however strong, carries a vector past what it points at.

    The exact solution of ẋ = P_x(m) for a constant m, then the turn by Ω: with τ = |m|dt, u = m/|m| and c = ⟨x, u⟩,
    x′ ∝ x·sech τ + (tanh τ + c(1 − sech τ))·u. τ counts at most 6, where a right angle has shrunk to 0.005 rad.

    Args:
        x: unit vectors.
        messages: conditioning plus coupling, per second.
        omega: [..., D // 2], one natural frequency for each pair of axes, rad/s.
        dt: seconds, above 0.

    >>> x, m = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 100.0]])
    >>> flow(x, m, torch.zeros(1), torch.tensor(1.0)).round(decimals=2).tolist()
    [[0.0, 1.0]]

    """
    strength = (messages.square().sum(-1, keepdim=True) + 1e-12).sqrt()  # no √0, where there is no gradient
    along, tau = (x * messages).sum(-1, keepdim=True) / strength, (strength * dt).clamp(max=6.0)
    sech = 1 / torch.cosh(tau)
    moved = x * sech + messages * ((torch.tanh(tau) + along * (1 - sech)) / strength)
    return _turn(project(moved), omega * dt)


def project(x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """Divide each vector by its norm, to start on the sphere.

    Args:
        x: vectors, none of them zero.

    >>> project(torch.tensor([3.0, 4.0])).tolist()
    [0.6000000238418579, 0.800000011920929]

    """
    return torch.nn.functional.normalize(x, dim=-1)


def _great_circle(x: Tensor, pull: Tensor) -> Tensor:
    """cos|v|·x + sin|v|·v/|v|, with series near v = 0, where the gradient of |v| does not exist."""
    square = (pull * pull).sum(-1, keepdim=True)
    small = square < 1e-4
    angle = torch.where(small, torch.ones_like(square), square).sqrt()  # no √0 on either branch of the gradient
    cos = torch.where(small, 1 - square / 2 * (1 - square / 12 * (1 - square / 30)), angle.cos())
    sinc = torch.where(small, 1 - square / 6 * (1 - square / 20 * (1 - square / 42)), angle.sin() / angle)
    return cos * x + sinc * pull


def _turn(x: Tensor, angle: Tensor) -> Tensor:
    d = x.shape[-1]
    if angle.shape[-1] == d and angle.ndim >= 2 and angle.shape[-2] == d:
        return (torch.matrix_exp(angle) @ x.unsqueeze(-1)).squeeze(-1)
    if angle.shape[-1] != d // 2:
        raise InputError(f"omega: shape {tuple(angle.shape)}, expected [..., {d}, {d}] or [..., {d // 2}]")
    c, s = angle.cos(), angle.sin()
    even, odd = x[..., 0 : d - d % 2 : 2], x[..., 1::2]
    turned = torch.stack([c * even - s * odd, s * even + c * odd], dim=-1).flatten(-2)
    return torch.cat([turned, x[..., d - d % 2 :]], dim=-1) if d % 2 else turned
