"""The torch step is the NumPy step, with gradients everywhere."""

import numpy as np
import pytest
import torch

from chorus.dynamics import random_points, random_rotations, rotation, sphere_step
from chorus.dynamics.sphere_torch import flow, project, step
from chorus.errors import InputError


@pytest.mark.parametrize("d", [2, 3, 4, 7])
@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e-2, 3.0])
def test_it_is_the_numpy_step(d: int, scale: float) -> None:
    rng = np.random.default_rng(d)
    x, omega, pull = random_points(9, d, rng), random_rotations(9, d, rng), scale * rng.standard_normal((9, d))
    got = step(torch.tensor(x), torch.tensor(pull), torch.tensor(omega), 0.3)
    np.testing.assert_allclose(got.numpy(), sphere_step(x, pull, 0.3, rotation(omega, 0.3)), atol=1e-13)


@pytest.mark.parametrize("d", [2, 5, 6])
def test_paired_frequencies_are_the_block_matrix(d: int) -> None:
    rng = np.random.default_rng(d)
    x = torch.tensor(random_points(6, d, rng))
    frequencies = torch.tensor(rng.standard_normal((6, d // 2)))
    matrix = torch.zeros(6, d, d, dtype=torch.float64)
    for pair in range(d // 2):
        matrix[:, 2 * pair, 2 * pair + 1] = -frequencies[:, pair]
        matrix[:, 2 * pair + 1, 2 * pair] = frequencies[:, pair]
    pull = torch.tensor(rng.standard_normal((6, d)))
    torch.testing.assert_close(step(x, pull, frequencies, 0.2), step(x, pull, matrix, 0.2), atol=1e-13, rtol=0)


@pytest.mark.parametrize("pull", ["random", "zero", "along x"])
@pytest.mark.parametrize("form", ["matrix", "pairs", "none"])
def test_gradients(pull: str, form: str) -> None:
    rng = np.random.default_rng(1)
    x = torch.tensor(random_points(3, 4, rng))
    messages = {"random": torch.tensor(rng.standard_normal((3, 4))), "zero": torch.zeros_like(x), "along x": 2 * x}[
        pull
    ]
    half = torch.tensor(rng.standard_normal((3, 4, 4)))
    frequencies = torch.tensor(rng.standard_normal((3, 2)))
    dt = torch.tensor(0.3, dtype=torch.float64)

    def f(x: torch.Tensor, m: torch.Tensor, raw: torch.Tensor, dt: torch.Tensor) -> torch.Tensor:
        omega = None if form == "none" else raw - raw.transpose(-1, -2) if form == "matrix" else raw
        return step(x, m, omega, dt)

    raw = half if form == "matrix" else frequencies
    inputs = [t.clone().requires_grad_() for t in (x, messages, raw, dt)]
    inputs[2].requires_grad_(form != "none")
    assert torch.autograd.gradcheck(f, inputs, atol=1e-6)


def test_a_batch_is_its_members() -> None:
    rng = np.random.default_rng(2)
    x = torch.tensor(random_points(24, 3, rng)).reshape(2, 3, 4, 3)
    messages = torch.tensor(rng.standard_normal((2, 3, 4, 3)))
    omega = torch.tensor(random_rotations(4, 3, rng))  # one per oscillator, shared by the batch
    whole = step(x, messages, omega, 0.1)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(whole[i, j], step(x[i, j], messages[i, j], omega, 0.1))


def test_float32_stays_on_the_sphere() -> None:
    generator = torch.Generator().manual_seed(0)
    x = project(torch.randn(16, 8, generator=generator))
    omega = torch.randn(16, 4, generator=generator)
    messages = torch.randn(16, 8, generator=generator)
    for _ in range(3000):
        x = step(x, messages, omega, 0.1)
    assert (x.norm(dim=-1) - 1).abs().max() < 1e-6


def test_the_step_learns() -> None:
    """Messages can be trained through twenty steps to bring rotors to a goal."""
    generator = torch.Generator().manual_seed(0)
    start = project(torch.randn(5, 4, generator=generator))
    goal = project(torch.randn(5, 4, generator=generator))
    messages = torch.zeros(5, 4, requires_grad=True)
    omega = torch.randn(5, 2, generator=generator)
    optimizer = torch.optim.Adam([messages], lr=0.2)
    losses = []
    for _ in range(100):
        x = start
        for _ in range(20):
            x = step(x, messages, omega, 0.1)
        loss = (x - goal).square().sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_bad_input() -> None:
    x = torch.tensor([[1.0, 0.0, 0.0]])
    with pytest.raises(InputError, match="last axes 3 and 2"):
        step(x, torch.zeros(1, 2), None, 0.1)
    with pytest.raises(InputError, match="dt: got 0"):
        step(x, x, None, 0)
    with pytest.raises(InputError, match=r"omega: shape \(2,\), expected \[..., 3, 3\] or \[..., 1\]"):
        step(x, x, torch.zeros(2), 0.1)


def test_flow_shrinks_the_tangent_of_half_the_angle_as_the_equation_says() -> None:
    torch.manual_seed(1)
    x, message = project(torch.randn(40, 3, dtype=torch.float64)), torch.randn(40, 3, dtype=torch.float64)

    def half_tangent(at: torch.Tensor) -> torch.Tensor:
        cos = (at * project(message)).sum(-1)
        return ((1 - cos) / (1 + cos)).sqrt()

    for dt in (0.01, 0.7, 2.0):
        after = flow(x, message, torch.zeros(1, dtype=torch.float64), torch.tensor(dt))
        decay = (-message.norm(dim=-1) * dt).clamp(min=-6).exp()
        torch.testing.assert_close(half_tangent(after), half_tangent(x) * decay, rtol=1e-6, atol=1e-9)


def test_flow_is_the_limit_of_small_steps_and_never_overshoots() -> None:
    torch.manual_seed(0)
    x = project(torch.randn(50, 4, dtype=torch.float64))
    message, still, dt = torch.randn(50, 4, dtype=torch.float64), torch.zeros(2, dtype=torch.float64), 1.5
    small = x
    for _ in range(3000):
        small = step(small, message, None, dt / 3000)
    torch.testing.assert_close(flow(x, message, still, torch.tensor(dt)), small, atol=2e-3, rtol=0)
    before = (x * project(message)).sum(-1)
    for strength in (0.1, 1.0, 10.0, 1e6):
        after = flow(x, strength * message, still, torch.tensor(dt))
        torch.testing.assert_close(after.norm(dim=-1), torch.ones(50, dtype=torch.float64))
        assert ((after * project(message)).sum(-1) > before).all()
    opposed = flow(-project(message.float()), 1e6 * message.float(), still.float(), torch.tensor(dt))
    torch.testing.assert_close(opposed.norm(dim=-1), torch.ones(50))
