"""Loops compiled by numba, kept on disk where a place for them can be written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any


def njit(function: Callable[..., Any]) -> Any:
    """Compile a function of arrays and numbers with numba when it is first called; it runs without Python's own lock.

    The machine code is kept beside the source, in the user's cache folder or in `NUMBA_CACHE_DIR`, whichever can be
    written, so that the next process need not compile again. Where none can (a read-only installation, an account
    without a home, a full disk), or what is there is damaged, the process compiles in memory instead: slower to start,
    the same results.

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
        compiled: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no locator: nowhere to write, or a function without a source file
        return numba.njit(nogil=True)(function)
    compiled._cache = _Cache(compiled._cache)
    return compiled


class _Cache:
    """Numba's cache of a function, of which nothing is lost when it fails: what it holds can be compiled again."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, *arguments: Any) -> Any:
        """Return machine code, or None where there is none or what there is cannot be read, which is then given up."""
        try:
            return self._cache.load_overload(*arguments)
        except Exception:  # a file cut off or damaged shows as any of pickle's, LLVM's or numba's own errors
            with suppress(OSError):
                self._cache.flush()
            return None

    def save_overload(self, *arguments: Any) -> None:
        """Keep machine code if there is room for it."""
        with suppress(OSError):
            self._cache.save_overload(*arguments)
