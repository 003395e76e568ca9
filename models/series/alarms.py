"""From evidence to alarms: what a unit (a series, or a group) usually says is taken off, and one change is told once.

Two things speak for an alarm: how rare what the members do is in their own past (evidence, in decades), and how far they are from where they
were (distance, in spreads). Rarity finds what is subtle, and is fooled where little was seen; distance finds what is plain. The louder
counts.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import msgspec
import numpy as np

from contracts.frames.decoded import F64
from contracts.units import DAY, MINUTE
from models.series.distance import From

USUAL_POINTS: Final = 2000.0
"""Half-life, in points, of what a unit usually says."""
FADING_POINTS: Final = 400.0
"""Half-life, in points, of the record against which news are measured."""
_STEADY: Final = 1.0
"""Added to the spread of what a unit says: one that has always been quiet needn't shout for little."""
_LIMIT: Final = 6.0
_FEW: Final = 6.0
"""Members of a group from which on what they say together counts less, by their number: the more there are, the more often some of them are
rare at once with nothing wrong. Of labelled hosts of 19 and 38 members, where 4 does as well and one (or the root of the number) finds what
nobody labelled; by hand for groups that are smaller."""
_PLAIN: Final = 6.0
"""Spreads that the distance of a single series says at the most: how much more than plain it is depends on its tails, which rarity knows. Of
labelled series (docs/benchmarks.md): 4 to 6 do alike, 10 takes every spike of a heavy tail for the loudest of all."""
_MINUTES_A_WEEK: Final = 7 * DAY / MINUTE
_TOGETHER: Final = 1.9
"""Evidence per decade: several ways speak at once where a point is far off. Measured on noise."""
_SAID: Final = 2.0
"""Decades that are taken off before evidence counts (models.series.scorer)."""


class Heard(NamedTuple):
    """Of a unit: its `score`, how much of its rarity is `news`, and what the score is the larger of: how `rare` (decades; of a group spreads
    above the usual) and how `far`."""

    score: float
    news: float
    rare: float
    far: float


class Loudness(msgspec.Struct):
    """What a unit has said so far."""

    points: float = 0.0
    mean: float = 0.0
    square: float = 0.0
    record: float = 0.0

    def hear(self, evidence: float, distance: float, members: int) -> Heard:
        """What `evidence` (summed over the unit's members) and `distance` amount to, and how far the evidence lies above the fading record;
        then learn it.

        Of one series it is the evidence itself. Of several, whose deviations depend on each other in ways that nobody knows, it is how
        far their sum lies above what is usual of it, in spreads, and of many members less (`_FEW`).
        """
        spread = math.sqrt(max(self.square - self.mean**2, 0.0)) + _STEADY
        loud = (evidence - self.mean) / spread if members > 1 else evidence
        self.points += 1.0
        rate = max(1.0 - 0.5 ** (1.0 / USUAL_POINTS), 1.0 / self.points)
        learnt = min(evidence, self.mean + _LIMIT * spread)
        self.mean += rate * (learnt - self.mean)
        self.square += rate * (learnt**2 - self.square)
        self.record *= 0.5 ** (1.0 / FADING_POINTS)
        news = max(0.0, loud - self.record)
        self.record = max(self.record, loud)
        rare = loud / max(1.0, members / _FEW)
        return Heard(max(rare, distance), news, rare, distance)


def distance_of(members: F64) -> float:
    """How far a unit is, of how far its `members` are (each from its level and from its last point).

    A series is as far as it is from its level, which says no more than `_PLAIN`: jumps and spikes of a single one are mostly noise. Those of
    several at once are not: of a group it is the root of the mean square over its members, of each what is larger.
    """
    if len(members) > 1:
        return math.sqrt(float(np.square(members.max(axis=1)).mean()))
    return min(float(members[0, From.LEVEL]), _PLAIN) if len(members) else 0.0


def bar(units: int, false_alarms_a_week: float) -> float:
    """The score from which an alarm opens, so that `units` together open about so many false ones a week, were points of a minute
    independent; of distances that is measured (docs/benchmarks.md), and holds where they are about normal."""
    return max(1.0, _TOGETHER * (math.log10(_MINUTES_A_WEEK * max(1, units) / false_alarms_a_week) - _SAID))
