"""Which Homeostat this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def software() -> str:
    """The installed version of Homeostat."""
    try:
        return version("homeostat")
    except PackageNotFoundError:
        return "unknown"
