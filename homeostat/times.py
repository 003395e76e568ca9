"""Times for people: UTC with a Z, to the millisecond; local time, with its offset, only where that is asked for."""

from __future__ import annotations

import datetime as dt

from contracts.units import MILLISECOND, SECOND


def utc(time_ns: int) -> str:
    """For machines: `2026-01-31T12:00:00.250Z`; empty where there is no time."""
    return said(time_ns).replace(" ", "T") if time_ns else ""


def said(time_ns: int, local: bool = False) -> str:
    """For people: `2026-01-31 12:00:00.250Z`, or `2026-01-31 13:00:00.250+0100` of this machine's zone."""
    if not time_ns:
        return "an unknown time"
    at = dt.datetime.fromtimestamp(time_ns // SECOND, dt.UTC)
    at = at.astimezone() if local else at
    zone = f"{at:%z}" if local else "Z"
    return f"{at:%Y-%m-%d %H:%M:%S}.{time_ns // MILLISECOND % 1000:03d}{zone}"


def ago(time_ns: int, now_ns: int) -> str:
    """How long ago, in one unit: `12 s`, `5 min`, `3 h`, `2 d`."""
    return lasting(max(0, now_ns - time_ns) / SECOND)


def lasting(seconds: float) -> str:
    """A duration in one unit."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
