"""Durations as people write them: `500ms`, `30s`, `5m`, `1h30m`, `2d`."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
PATTERN: Final = r"^(?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+(\.\d+)?s)?(\d+ms)?$"
_WHOLE: Final = re.compile(PATTERN, re.ASCII)
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)", re.ASCII)


def parse(text: str) -> float | None:
    """Seconds, or None if it is no duration. Units go from large to small, each at most once."""
    if len(text) > 40 or not _WHOLE.fullmatch(text):
        return None
    return sum(float(n) * _UNITS[u] for n, u in _PART.findall(text))


def spell(seconds: float) -> str:
    """The shortest way to write a duration; `parse(spell(x)) == x` for whole milliseconds."""
    left, parts = round(seconds * 1000), []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
