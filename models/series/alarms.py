"""From evidence to alarms: what a unit (a series, or a group) usually says is taken off, and one change is told once."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from contracts.units import DAY, MINUTE

USUAL_POINTS: Final = 2000.0
"""Half-life, in points, of what a unit usually says."""
FADING_POINTS: Final = 400.0
"""Half-life, in points, of the record against which news are measured."""
_STEADY: Final = 1.0
"""Added to the spread of what a unit says: one that has always been quiet needn't shout for little."""
_LIMIT: Final = 6.0
_MINUTES_A_WEEK: Final = 7 * DAY / MINUTE
_TOGETHER: Final = 1.9
"""Evidence per decade: several ways speak at once where a point is far off. Measured on noise."""
_SAID: Final = 2.0
"""Decades that are taken off before evidence counts (models.series.scorer)."""


class Loudness(msgspec.Struct):
    """What a unit has said so far."""

    points: float = 0.0
    mean: float = 0.0
    square: float = 0.0
    record: float = 0.0

    def hear(self, evidence: float, members: int) -> tuple[float, float]:
        """The score of `evidence` (summed over the unit's members), and how far that lies above the fading record; then learn it.

        Of one series it is the evidence itself. Of several, whose deviations depend on each other in ways that nobody knows, it is how
        far their sum lies above what is usual of it, in spreads.
        """
        spread = math.sqrt(max(self.square - self.mean**2, 0.0)) + _STEADY
        score = (evidence - self.mean) / spread if members > 1 else evidence
        self.points += 1.0
        rate = max(1.0 - 0.5 ** (1.0 / USUAL_POINTS), 1.0 / self.points)
        learnt = min(evidence, self.mean + _LIMIT * spread)
        self.mean += rate * (learnt - self.mean)
        self.square += rate * (learnt**2 - self.square)
        self.record *= 0.5 ** (1.0 / FADING_POINTS)
        news = max(0.0, score - self.record)
        self.record = max(self.record, score)
        return score, news


def bar(units: int, false_alarms_a_week: float) -> float:
    """The score from which an alarm opens, so that `units` together open about so many false ones a week, were points of a minute
    independent."""
    return max(1.0, _TOGETHER * (math.log10(_MINUTES_A_WEEK * max(1, units) / false_alarms_a_week) - _SAID))
