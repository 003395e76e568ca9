"""One series around a fault: its windows, and the levels it had before, during and when the action came; what follows had nothing been done."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from contracts.features import FEATURES
from contracts.units import SECOND

SIGMAS = 3.0
"""Half width of a forecast's interval, standard deviations of one window."""


class LevelKey(NamedTuple):
    """A feature of a service, or of the edge `service -> peer`."""

    feature: str
    service: str
    peer: str = ""

    @property
    def worse(self) -> int:
        """The direction that hurts: +1 higher, -1 lower, 0 either."""
        return FEATURES[self.feature].worse

    @property
    def text(self) -> str:
        """What an operator reads."""
        return f"{self.feature} of {self.service}" + (f" → {self.peer}" if self.peer else "")


@dataclass(frozen=True, slots=True)
class Point:
    """One window. `value`, `low`, `high` in the feature's unit; NaN where not observed or not known. `came_ns` is how far event
    time of the environment had come when the window was first heard of."""

    start_ns: int
    end_ns: int
    value: float
    low: float
    high: float
    score: float
    count: int
    came_ns: int = 0


@dataclass(frozen=True, slots=True)
class Level:
    """A series before and during a fault; NaN where nothing was observed.

    `baseline` is the median before onset, [`low`, `high`] the range expected then. `worst` is from onset to the action,
    `acted` the median of the last windows before it. `slope` is the trend during the fault per second (0 where there is none to
    speak of), `acted_ns` where its line passes through `acted`. `noise` and `slope_error` are standard deviations of a window
    around that line and of the slope. `bad` and `good` count the windows outside and inside of the range since the first one outside,
    `gap_ns` is the longest time that it was inside in between, `well` how many windows it had been inside when the action came.
    `inside` are all windows since the onset that were; of shares, `asked` are the requests in them and `failed` those that did, and of the
    last `calm` before the action none did; `share` is that of all requests since the onset that failed.
    """

    baseline: float = math.nan
    low: float = math.nan
    high: float = math.nan
    worst: float = math.nan
    acted: float = math.nan
    slope: float = 0.0
    acted_ns: int = 0
    interval_ns: int = 0
    noise: float = 0.0
    slope_error: float = 0.0
    bad: int = 0
    good: int = 0
    gap_ns: int = 0
    well: int = 0
    inside: int = 0
    asked: int = 0
    failed: float = 0.0
    calm: int = 0
    share: float = math.nan

    def forecast(self, time_ns: int) -> float:
        """The value at a time had nothing been done: the fault's trend carried on."""
        return self.acted + self.slope * (time_ns - self.acted_ns) / SECOND

    def interval(self, time_ns: int) -> tuple[float, float]:
        """Where nearly all values at a time would lie had nothing been done; NaN where that is not known."""
        middle = self.forecast(time_ns)
        width = SIGMAS * (self.noise + self.slope_error * abs(time_ns - self.acted_ns) / SECOND)
        return middle - width, middle + width

    @property
    def chance(self) -> float:
        """Probability that the next window of the fault looks well by itself (Laplace's rule of succession)."""
        return (self.good + 1) / (self.bad + self.good + 2)


def within(value: float, low: float, high: float, worse: int) -> bool:
    """Whether a value is on the good side of a range; false while the bound that matters is not known."""
    if worse > 0:
        return value <= high
    if worse < 0:
        return value >= low
    return low <= value <= high
