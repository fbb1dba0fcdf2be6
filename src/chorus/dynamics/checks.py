"""What every simulation of this room asks of its input, said in one voice."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chorus.errors import InputError


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
