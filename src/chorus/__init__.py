"""Chorus: computation that thinks in parallel over a declared topology."""

from importlib.metadata import PackageNotFoundError, version

from chorus.errors import ChorusError, InputError

try:
    __version__ = version("the-chorus")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+source"

__all__ = ["ChorusError", "InputError", "__version__"]
