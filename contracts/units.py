"""Units of time, in nanoseconds: all times and durations whose names end in `_ns` are counted in these."""

from __future__ import annotations

from typing import Final

MICROSECOND: Final = 1000
MILLISECOND: Final = 1000 * MICROSECOND
SECOND: Final = 1000 * MILLISECOND
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
