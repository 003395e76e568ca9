"""What callers tell of their calls, and what the services they call served."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from contracts.features import CALL_RATE
from graph.evidence.situation import Edge, Shift, risen
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


def edge_of(
    pair: tuple[str, str],
    found: dict[str, Shift],
    made: Shift | None,
    caller_did: tuple[Served, ToldCalls],
    known: tuple[int, float],
    younger: bool,
) -> Edge:
    """The call of a pair. `caller_did`: what requests the caller served, and what it tells of its calls; `known`: up to when its calls are
    known, and of the time for which those of others are the share that this is; `younger`: it was heard of after the caller. Of calls that
    have not come yet none is missing."""
    (did, told), (known_ns, heard) = caller_did, known
    rate, caller, failed = found.get(CALL_RATE), did.requests, did.failed
    asked = made or rate
    blamed = _share(told.blamed / failed) if failed >= 1.0 else math.nan
    if rate is None or not rate.samples_before > 0:  # whether calls are answered was never known
        return Edge(*pair, found, blamed=blamed, in_part=told.in_part, known_ns=known_ns, asked=asked)
    answered, calls = rate.before * rate.samples_before, rate.after * rate.samples
    share = told.share if made is None else usually(answered, made)
    attempted = made.after * made.samples * share if made is not None else told.asked
    if caller is None or not caller.before > 0:
        bare = Edge(*pair, found, attempted=attempted, blamed=blamed, in_part=told.in_part, known_ns=known_ns)
        return replace(bare, observed=calls, told=share, asked=asked)
    # Where one of them was in trouble and the other not, they are compared with different times.
    windows = min(rate.samples_before, caller.samples_before) if younger else caller.samples_before
    before = rate.before * windows / (caller.before * caller.samples_before)
    served = heard * caller.after * caller.samples
    expected, usual = before * served, heard * before * caller.before * caller.samples
    if math.isfinite(told.due):  # what is asked for tells; requests that are missing may be any
        expected, usual = told.due, min(usual, told.due + max(0.0, usual - expected))
    return Edge(
        *pair,
        found,
        per_request_before=before,
        per_request_after=(calls if math.isnan(attempted) else attempted) / served if served > 0 else math.nan,
        expected=expected,
        usual=usual,
        observed=calls,
        attempted=attempted,
        failed=told.failed,
        blamed=blamed,
        in_part=told.in_part,
        known_ns=known_ns,
        told=share,
        asked=asked,
    )


def _share(value: float) -> float:
    """At most all; NaN stays NaN."""
    return value if math.isnan(value) else min(value, 1.0)
