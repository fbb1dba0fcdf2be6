"""The 1952 equations written out anew, in scalars, and integrated by SciPy at a tight tolerance."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp


def slopes(t: float, y: NDArray[np.float64], current: Callable[[float], float]) -> list[float]:
    V, m, h, n = y
    a_m = 1.0 if abs(V + 40) < 1e-9 else 0.1 * (V + 40) / (1 - math.exp(-(V + 40) / 10))
    b_m = 4 * math.exp(-(V + 65) / 18)
    a_h = 0.07 * math.exp(-(V + 65) / 20)
    b_h = 1 / (1 + math.exp(-(V + 35) / 10))
    a_n = 0.1 if abs(V + 55) < 1e-9 else 0.01 * (V + 55) / (1 - math.exp(-(V + 55) / 10))
    b_n = 0.125 * math.exp(-(V + 65) / 80)
    ionic = 120 * m**3 * h * (V - 50) + 36 * n**4 * (V + 77) + 0.3 * (V + 54.387)
    return [current(t) - ionic, a_m * (1 - m) - b_m * m, a_h * (1 - h) - b_h * h, a_n * (1 - n) - b_n * n]


def at_rest() -> NDArray[np.float64]:
    start = np.array([-65.0, 0.05, 0.6, 0.32])
    return np.asarray(
        solve_ivp(slopes, (0, 400), start, "LSODA", args=(lambda t: 0.0,), rtol=1e-11, atol=1e-12).y[:, -1]
    )


def spikes(current: Callable[[float], float], duration: float, longest_step: float = 1.0) -> NDArray[np.float64]:
    """Times at which V rises through 0."""

    def through_zero(t: float, y: NDArray[np.float64], current: Callable[[float], float]) -> float:
        return float(y[0])

    through_zero.direction = 1  # type: ignore[attr-defined]
    run = solve_ivp(
        slopes, (0, duration), at_rest(), "LSODA", args=(current,), events=through_zero,
        rtol=1e-8, atol=1e-9, max_step=longest_step,
    )  # fmt: skip
    return np.asarray(run.t_events[0])


def peak(current: float, duration: float) -> float:
    run = solve_ivp(
        slopes, (0, duration), at_rest(), "LSODA", args=(lambda t: current,), rtol=1e-9, atol=1e-10, max_step=0.02
    )
    return float(run.y[0].max())


def weakest(fires: Callable[[float], bool], low: float, high: float, tolerance: float) -> float:
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (low, middle) if fires(middle) else (middle, high)
    return (low + high) / 2
