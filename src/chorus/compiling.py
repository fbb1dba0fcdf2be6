"""Loops compiled by numba, kept on disk where a place for them can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def njit(function: Callable[..., Any]) -> Any:
    """Compile a function of arrays and numbers with numba when it is first called; it runs without Python's own lock.

    The machine code is kept beside the source, in the user's cache folder or in `NUMBA_CACHE_DIR`, whichever can be
    written, so that the next process need not compile again. Numba refuses to cache where none can (a read-only
    installation, an account without a home); such a process compiles in memory instead: slower to start, the same
    results.

    Args:
        function: the function; what it calls must be compiled too, or be something that numba knows.

    Example:
        >>> @njit
        ... def total(count):
        ...     found = 0
        ...     for k in range(count):
        ...         found += k
        ...     return found
        >>> total(5)
        10

    """
    import numba

    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no locator: nowhere to write, or a function without a source file
        return numba.njit(nogil=True)(function)
