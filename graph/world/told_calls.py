"""What callers tell of their calls, and what the services they call served."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from graph.evidence.situation import Shift, risen
from graph.world.series import SeriesStore

YOUNGER: Final = 0.8
"""Share of the time for which a caller has been known, from which on its calls have been known for as long."""


@dataclass(frozen=True, slots=True)
class ToldCalls:
    """What a caller tells of its calls since the onset: how many it made, by its client spans; how many the requests it served make, by
    their routes; how many of these those requests make that failed beyond the usual; and in how many requests that failed, beyond the
    usual, a call failed. NaN where it does not tell."""

    asked: float = math.nan
    due: float = math.nan
    failed: float = math.nan
    blamed: float = math.nan
    in_part: bool = False
    """Whether it told before, and mostly does not now: what is seen of its calls may be a part (`streams.windows.kept`)."""
    share: float = 1.0
    """The share of the calls that it told of before of which an answer was known."""


class Served(NamedTuple):
    """How many requests a service served, and which share of them failed."""

    requests: Shift | None
    failures: Shift | None

    @property
    def failed(self) -> float:
        """Requests since the onset that failed beyond the usual; 0 where that is not known."""
        return 0.0 if self.failures is None else risen(self.failures) * self.failures.samples


def usually(answered: float, made: Shift) -> float:
    """The share of the calls made before the onset of which an answer was known, as `answered` were; 1 where none were made. What never had
    one (half of a service tells nothing, a name stands for another one, too) misses none."""
    before = made.before * made.samples_before
    return min(1.0, answered / before) if before > 0 else 1.0


def younger_than_callers(
    edges: SeriesStore, spans: SeriesStore, known: Mapping[tuple[str, str], int]
) -> set[tuple[str, str]]:
    """Calls (with their rows) that were first heard of when requests of their callers had long been."""
    newest = int(max(edges.slot.max(initial=0), spans.slot.max(initial=0))) + 1
    callers = spans.rows_of((caller, "") for caller, _ in known)
    since = {pair: int(spans.first[callers[pair[0], ""]]) for pair in known if (pair[0], "") in callers}
    return {
        pair for pair, first in since.items() if newest - int(edges.first[known[pair]]) < YOUNGER * (newest - first)
    }
