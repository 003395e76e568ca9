"""Drift: whether calm windows are still as a model knows them, on minute means of what it says of them.

A model that fits says -log10 p of a calm window, which is 0.43 in the mean (log10 e), whatever the windows are like; one that no longer
fits says more, or less. So one number per minute tells of any change of how features depart together. A detector of river.drift follows it
(ADWIN: Bifet & Gavaldà 2007). Minutes are of event time: a metric every 60 s makes one of its readings.

Not counted: windows that may not be learnt from (harm, our own actions), rows that are missing, and for `REBASED_NS` those of a service
whose release, scaling or configuration was told or whose level was adopted: they change what is normal and are no drift. A series that
was held back in a minute is left out of all of that minute: harm begins before it is found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, F64
from contracts.units import MINUTE
from models.adapters.recipes import Recipe

CALM_DECADES: Final = math.log10(math.e)
"""Mean of -log10 p where p is uniform."""
MOST_DECADES: Final = 3.0
"""What one window counts at most: a minute is not told by its strangest."""
SCALE: Final = 8.0
"""A minute of a window per second that fits deviates by about 1 (the square root of 60, rounded). By hand: ADWIN's bound has a part that is
for values of about 1."""
KEPT_MINUTES: Final = 60
"""Minutes after which the detector begins anew from the last so many: its state follows from what is kept, and nothing that can run has
to be saved."""
REBASED_NS: Final = 5 * MINUTE
"""For how long a series is left out after a change that was told. By hand: caches are cold, levels are being learnt."""
ADWIN: Final = "river.drift.ADWIN"
OF_MINUTES: Final = {"clock": 1, "delta": 0.02, "min_window_length": 3}
"""ADWIN's parameters where none are given: look at every minute, not at every 32nd; a false drift costs a challenger without a vote."""


def surprise(decades: F64) -> F64:
    """What counts of -log10 p, in its mean where the model fits: 1."""
    found: F64 = np.minimum(decades, MOST_DECADES) / CALM_DECADES
    return found


class DriftWatch:
    """Follows one model; by no detector where nothing watches for drift. State: at most twice `KEPT_MINUTES` minute means (1 kB), and the detector's own (ADWIN: logarithmic in them)."""

    def __init__(self, recipe: Recipe | None, previous: list[float], current: list[float]) -> None:
        self._recipe, self.previous, self.current = recipe, previous, current
        self._detector: Any = None

    def take(self, mean: float) -> bool:
        """Take the mean `surprise` of a minute; whether it says that something changed.

        Raises:
            InvalidSettings: no such detector.
        """
        if self._recipe is None:
            return False
        detector = self._made(self._recipe)
        value = SCALE * (mean - 1.0)
        detector.update(value)
        found = bool(detector.drift_detected)
        self.current.append(value)
        if len(self.current) == KEPT_MINUTES:
            self.previous, self.current, self._detector = self.current, [], None
        return found

    def restart(self) -> None:
        """What was said until now is no measure any more."""
        self.previous, self.current, self._detector = [], [], None

    def _made(self, recipe: Recipe) -> Any:
        if self._detector is None:
            self._detector = recipe.make(0)
            for value in (*self.previous, *self.current):
                self._detector.update(value)
        return self._detector

    def plain(self) -> list[list[float]]:
        """The state as plain values."""
        return [self.previous, self.current]


def _none() -> F64:
    return np.zeros((3, 0))


@dataclass(slots=True)
class CalmMinutes:
    """Sums over the open minute by row of a track, of those that are calm in all of it. State: 33 bytes per row."""

    minute: int = -1
    sums: F64 = field(default_factory=_none)
    """(3, rows): what the model in use said, what its rival said, and of how many windows."""
    spoilt: B1 = field(default_factory=lambda: np.zeros(0, np.bool_))
    aside_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Until when rows are left out (event time)."""

    def begin(self, window_ns: int, rows: int) -> tuple[F64, NDArray[np.intp]] | None:
        """Make room for so many rows, and turn to the minute of a window: the sums of the one that is over, with the rows that count."""
        more = rows - len(self.spoilt)
        if more:
            self.sums = np.concatenate([self.sums, np.zeros((3, more))], axis=1)
            self.spoilt = np.concatenate([self.spoilt, np.zeros(more, np.bool_)])
            self.aside_ns = np.concatenate([self.aside_ns, np.zeros(more, np.int64)])
        minute = window_ns // MINUTE
        if minute <= self.minute:
            return None
        over, self.minute = self.minute, minute
        calm = np.flatnonzero(~self.spoilt & (self.sums[2] > 0))
        sums = self.sums
        self.sums, self.spoilt = np.zeros((3, rows)), np.zeros(rows, np.bool_)
        return (sums, calm) if over >= 0 and len(calm) else None

    def hold_back(self, rows: NDArray[np.intp], window_ns: int) -> B1:
        """Leave rows out of this minute; which of all rows are left out by a change that was told."""
        self.spoilt[rows] = True
        aside: B1 = self.aside_ns > window_ns
        return aside

    def begin_anew(self) -> None:
        """What is known of the open minute is not comparable."""
        self.spoilt[:] = True

    def set_aside(self, row: int, time_ns: int) -> None:
        """Something changed in a row that is no drift."""
        if row < len(self.spoilt):
            self.spoilt[row] = True
            self.aside_ns[row] = max(int(self.aside_ns[row]), time_ns + REBASED_NS)

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        return {"minute": self.minute, "sums": self.sums, "spoilt": self.spoilt, "aside_ns": self.aside_ns}
