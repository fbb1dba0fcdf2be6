"""One source, two speeds: small graphs run the Python text, large ones the same text compiled by numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from chorus.compiling import njit

P = ParamSpec("P")
R = TypeVar("R")

COMPILE_FROM = 60_000  # elementary steps; below this, loading numba costs more than it saves


class Kernel(Generic[P, R]):
    """A loop over integer arrays that is compiled only when the work is worth it.

    Numba takes about half a second to load, and seconds to compile what its cache does not hold yet, so that a
    graph of a hundred edges is better served by the interpreter. Both run the same text, so they cannot disagree.
    `helpers` are the plain functions that the kernel calls.
    """

    def __init__(self, function: Callable[P, R], helpers: tuple[Callable[..., Any], ...]) -> None:
        self.interpreted = function
        self._helpers = helpers
        self._compiled: Callable[P, R] | None = None
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__

    def for_work(self, steps: int) -> Callable[P, R]:
        """Return the interpreted function for small work, the compiled one from `COMPILE_FROM` elementary steps on."""
        return self.interpreted if steps < COMPILE_FROM else self.compiled

    @property
    def compiled(self) -> Callable[P, R]:
        """The function compiled by numba; compiled once, and kept on disk where one can write."""
        if self._compiled is None:
            from numba.extending import register_jitable

            for helper in self._helpers:
                register_jitable(helper)
            self._compiled = njit(self.interpreted)
        return self._compiled


def kernel(*helpers: Callable[..., Any]) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Mark a function as a kernel; `helpers` are the plain functions that it calls."""
    return lambda function: Kernel(function, helpers)
