"""By which clock the seasons of series go: that of a time zone with its summer time, with working days and days off; or UTC, all days alike."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from contracts.frames.decoded import F64, I64

DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0
DAY_BINS: Final = 48
WEEK_BINS: Final = 168
_MONDAY: Final = 72
"""Hours from the epoch's Thursday to a Monday."""
_QUARTER_S: Final = 900.0
"""Clocks of all zones differ from UTC by whole quarters of an hour."""
_SATURDAY: Final = 5
_SUNDAY: Final = 6
_REMEMBERED: Final = 4096


class Calendar:
    """Local time of a `timezone` (IANA), with `holidays` (`2026-04-03`, or `12-25` of every year), which are as Sundays."""

    def __init__(self, timezone: str, holidays: Iterable[str] = ()) -> None:
        self._zone, self._holidays = ZoneInfo(timezone), frozenset(holidays)
        self._known: dict[int, tuple[int, int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """For a worker: without what is remembered."""
        return self.__dict__ | {"_known": {}}

    def bins(self, times_s: F64) -> tuple[I64, I64]:
        """Of each time the half hour of the day, those of days off behind those of others, and the hour of the week."""
        quarters, which = np.unique((times_s // _QUARTER_S).astype(np.int64), return_inverse=True)
        found = np.array([self._of(quarter) for quarter in quarters.tolist()], dtype=np.int64).reshape(-1, 2)[which]
        return found[:, 0], found[:, 1]

    def _of(self, quarter: int) -> tuple[int, int]:
        found = self._known.get(quarter)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[quarter] = self._bins(datetime.fromtimestamp(quarter * _QUARTER_S, self._zone))
        return found

    def _bins(self, at: datetime) -> tuple[int, int]:
        day = at.date().isoformat()
        weekday = _SUNDAY if day in self._holidays or day[5:] in self._holidays else at.weekday()
        half_hour = 2 * at.hour + at.minute // 30
        return half_hour + DAY_BINS * (weekday >= _SATURDAY), 24 * weekday + at.hour


class Universal(Calendar):
    """UTC, all days alike: nothing is known of who makes the load."""

    def __init__(self) -> None:
        super().__init__(str(UTC))

    def bins(self, times_s: F64) -> tuple[I64, I64]:
        """As of any calendar; none is a day off."""
        day = ((times_s % DAY_S) // (DAY_S / DAY_BINS)).astype(np.int64)
        return day, ((times_s // HOUR_S + _MONDAY) % WEEK_BINS).astype(np.int64)


UNIVERSAL: Final = Universal()
