"""What every simulation of this room asks of its input, said in one voice."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chorus.errors import InputError

MAX_ARRAY = 2**32  # bytes of one array of doubles
MAX_STEPS = 10**9  # of one run: hours, even for a single oscillator


def finite(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return `value` as float64, or raise `InputError` naming the first entry that is no finite number."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected real numbers, got {value!r}") from error
    good = np.isfinite(array)
    if not good.all():
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        at = f" at {list(where)}" if where else ""
        raise InputError(f"{name}: {array[where]}{at} is not a finite number")
    return array


def scalar(name: str, value: float, *, above: float | None = None, at_least: float | None = None) -> float:
    """Return `value` as a finite float within its bound, or raise `InputError`."""
    if isinstance(value, float) and math.isfinite(value):  # without NumPy, which would take longer than a small step
        number = float(value)
    else:
        array = finite(name, value)
        if array.ndim:
            raise InputError(f"{name}: expected one number, got an array of shape {array.shape}")
        number = float(array)
    if above is not None and not number > above:
        raise InputError(f"{name}: got {number:g}, must be above {above:g}")
    if at_least is not None and not number >= at_least:
        raise InputError(f"{name}: got {number:g}, must be at least {at_least:g}")
    return number


def count(name: str, value: int, *, at_least: int) -> int:
    """Return `value` as an int of at least `at_least`, or raise `InputError`."""
    if isinstance(value, int) and value >= at_least:
        return value
    number = finite(name, value)
    if number.ndim or number != np.rint(number) or number < at_least:
        raise InputError(f"{name}: got {number.tolist()}, must be a whole number of at least {at_least}")
    return int(value)


def sized(name: str, value: ArrayLike, n: int, *, of: str) -> NDArray[np.float64]:
    """Return `value` as a finite scalar or [n] array, or raise `InputError` naming both sizes."""
    array = finite(name, value)
    if array.ndim and array.shape[-1] != n:
        raise InputError(f"{name}: has {array.shape[-1]} entries, {of} has {n}")
    return array


def storable(name: str, *shape: int) -> None:
    """Raise `InputError` for an array of doubles of more than 4 GiB, before any of it is allocated."""
    need = 8 * math.prod(shape)
    if need > MAX_ARRAY:
        size = " × ".join(f"{int(side):,}" for side in shape)
        raise InputError(f"{name}: {size} numbers take {need / 2**30:,.0f} GiB; at most {MAX_ARRAY / 2**30:g} GiB")


def steps_in(duration: float, dt: float) -> int:
    """Return how many steps of `dt` cover `duration`, or raise `InputError` for too many of them to ever end."""
    duration, dt = scalar("duration", duration, above=0), scalar("dt", dt, above=0)
    if duration > MAX_STEPS * dt:
        raise InputError(f"duration: {duration:g} is over {MAX_STEPS:,} steps of dt = {dt:g}; shorten it or enlarge dt")
    return math.ceil(duration / dt)


def generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    """Return a generator of random numbers, or raise `InputError` for a seed that is none."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(None if seed is None else count("seed", seed, at_least=0))


def whole_steps(name: str, value: ArrayLike, dt: float) -> NDArray[np.int64]:
    """Return times as whole numbers of steps of `dt`, or raise `InputError` for one that falls between steps."""
    times = finite(name, value)
    if (times < 0).any():
        raise InputError(f"{name}: {times.min():g} is negative")
    steps = np.rint(times / dt)
    off = np.abs(times - steps * dt) > 1e-6 * dt
    if off.any():
        wrong = float(np.atleast_1d(times)[np.atleast_1d(off)][0])
        nearest = max(math.floor(wrong / dt), 1)
        raise InputError(
            f"{name}: {wrong:g} is not a whole number of steps of dt = {dt:g}; with dt = {wrong / nearest:g} it is"
        )
    return steps.astype(np.int64)
