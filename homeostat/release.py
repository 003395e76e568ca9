"""Which Homeostat this is, and since when it runs."""

from __future__ import annotations

import os
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil


def software() -> str:
    """The installed version of Homeostat."""
    try:
        return version("homeostat")
    except PackageNotFoundError:
        return "unknown"


def age_s() -> float:
    """Seconds since this process began: since its command was given, not since its modules were there."""
    return time.monotonic() - _began()


def _began() -> float:
    """On the monotonic clock, when this process began."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # proc(5): starttime, field 22
        return time.monotonic() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):  # not Linux
        return time.monotonic() - (time.time() - psutil.Process().create_time())
