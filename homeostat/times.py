"""Times for people: UTC with a Z, to the millisecond; local time, with its offset, only where that is asked for."""

from __future__ import annotations

import datetime as dt


def utc(time_ns: int) -> str:
    """`2026-01-31T12:00:00.250Z`; empty where there is no time."""
    return said(time_ns) if time_ns else ""


def said(time_ns: int, *, local: bool = False) -> str:
    """Date and time, as ISO 8601."""
    return f"{_at(time_ns, local):%Y-%m-%dT%H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}{_zone(time_ns, local)}"


def clock(time_ns: int, *, local: bool = False) -> str:
    """The time of day alone, for lines of a view that is followed: `12:00:00.250Z`."""
    return f"{_at(time_ns, local):%H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}{_zone(time_ns, local)}"


def ago(time_ns: int, now_ns: int) -> str:
    """How long ago, in one unit: `12 s`, `5 min`, `3 h`, `2 d`."""
    seconds = max(0, now_ns - time_ns) / 1e9
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _at(time_ns: int, local: bool) -> dt.datetime:
    at = dt.datetime.fromtimestamp(time_ns // 1_000_000_000, dt.UTC)
    return at.astimezone() if local else at


def _zone(time_ns: int, local: bool) -> str:
    return f"{_at(time_ns, local):%z}" if local else "Z"
