"""Chorus: computation that thinks in parallel over a declared topology."""

from chorus.errors import ChorusError, InputError

__all__ = ["ChorusError", "InputError", "__version__"]


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: `importlib.metadata` takes longer to import than this package."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("the-chorus")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+source"
