"""Times of the week in which a playbook may run: `Mon-Fri 08:00-18:00`, `Sat,Sun 22:00-06:00`, `08:00-18:00`. UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from contracts.units import SECOND

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY: Final = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
PATTERN: Final = (
    rf"^(?:({_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)*) )?"
    r"((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d|24:00)$"
)
_WINDOW: Final = re.compile(PATTERN, re.ASCII)


@dataclass(frozen=True, slots=True)
class TimeOfWeek:
    """Weekdays (0 is Monday) and minutes of the day; `end` before `start` reaches into the next day."""

    days: frozenset[int]
    start: int
    end: int

    def holds(self, day: int, minute: int) -> bool:
        """Whether a minute of a day is inside."""
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        late = day in self.days and minute >= self.start
        return late or ((day - 1) % 7 in self.days and minute < self.end)


def parse(text: str) -> TimeOfWeek | None:
    """The window, or None if it is none (equal ends are none: say 00:00-24:00)."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        return None
    start, end = _minute(found.group(2)), _minute(found.group(3))
    return None if start == end else TimeOfWeek(_days(found.group(1)), start, end)


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        a, b = DAYS.index(first), DAYS.index(last or first)
        days.update((a + i) % 7 for i in range((b - a) % 7 + 1))
    return frozenset(days)


def is_open(windows: tuple[str, ...], now_ns: int) -> bool:
    """Whether `now_ns` (epoch) is inside one of the windows. None given means always; an unreadable one never is."""
    if not windows:
        return True
    now = datetime.fromtimestamp(now_ns // SECOND, tz=UTC)
    parsed = [parse(w) for w in windows]
    return any(w.holds(now.weekday(), now.hour * 60 + now.minute) for w in parsed if w is not None)
