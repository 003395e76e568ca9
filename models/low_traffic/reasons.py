"""Reasons to call a service with little traffic unusual: calls that no longer follow requests, error records, time lost between services."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.events import Contribution
from contracts.features import CALL_RATE, LOG_ERROR_RATE, Signal
from contracts.frames.decoded import B1
from contracts.units import SECOND
from models import wording
from models.judgement import (
    ADDS_SECOND,
    ADDS_THIRD,
    FEW_CALLS,
    LEAST_KNOWN_EVENTS,
    LEAST_LEVEL,
    LEAST_POOLED_REQUESTS,
    LEAST_REQUESTS_FOR_RECORDS,
    MORE_RECORDS,
    SWAPPED_SHARE,
)
from models.low_traffic.counts import Compared, Rows, fewer, more
from models.low_traffic.ended import Illness
from models.shapley import Worth

CALLS: Final = "calls"
ERRORS: Final = "errors"
ERROR_SHARE: Final = "error share"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is unusual of a service: `callee` where it is about calls."""

    service: str
    decades: float
    contribution: Contribution
    callee: str = ""
    ill: Illness | None = None
    """What follows a request, usually and now; None where that is not what is unusual."""
    kind: str = ""
    """Of what that is: `CALLS`, `ERRORS` (per request), `ERROR_SHARE` (per record)."""


@dataclass(frozen=True, slots=True)
class TrafficLevel:
    """All that is unusual of a service over the last `span_ns`, and how sure that is no chance, in decades."""

    decades: float
    span_ns: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class LostTime:
    """What the pooled time between two services says, as of a window."""

    window: int
    decades: float
    typical: float
    low: float
    high: float


def no_calls(
    keys: Sequence[tuple[str, str]], seen: Compared, callers: Rows, thin: B1, span_ns: int
) -> Iterator[Reason]:
    """Calls that no longer follow a caller's requests, unless others follow instead: then requests ask for something else.

    `keys`: caller and callee of each row of `seen`; `callers`: the row of each caller's requests, -1 where it has none."""
    if not len(callers):
        return
    enough = (seen.requests >= LEAST_POOLED_REQUESTS) & (seen.known >= LEAST_KNOWN_EVENTS)
    few = np.flatnonzero(thin & enough & (seen.counted < FEW_CALLS * seen.expected))
    bunch = np.maximum(1.0, seen.usual[few])
    decades = np.zeros(len(callers))  # the chance is dear to reckon, and mostly nobody's is wanted
    decades[few] = fewer(seen.counted[few] / bunch, seen.expected[few] / bunch, seen.known[few] / bunch)
    decades *= np.minimum(1.0, seen.usual)  # what only some requests do says little when a few don't
    lost = decades >= LEAST_LEVEL
    absent = np.where(lost, seen.expected - seen.counted, 0.0)
    extra = np.where(callers >= 0, np.maximum(seen.counted - seen.expected, 0.0), 0.0)
    for i in np.flatnonzero(lost).tolist():
        mine = callers == callers[i]
        if extra[mine].sum() > SWAPPED_SHARE * absent[mine].sum():
            continue
        caller, callee = keys[i]
        span_s, (low, high) = span_ns / SECOND, seen.range(i)
        numbers = (float(seen.counted[i]) / span_s, low / span_s, high / span_s)
        ill = Illness(float(seen.usual[i]), float(seen.counted[i] / seen.requests[i]), max(1.0, float(seen.usual[i])))
        own = part(Signal.EDGES, CALL_RATE, numbers, decades[i], span_ns)
        yield Reason(caller, float(decades[i]), own, callee, ill, CALLS)


def error_records(
    keys: Sequence[tuple[str, str]], per_request: Compared, share: Compared, thin: B1, span_ns: int
) -> Iterator[Reason]:
    """More error records per request than usual; where requests can't be counted, a greater share of all records. `keys`: the service of
    each row, and nothing."""
    if not len(thin):
        return
    counted = (per_request.requests >= LEAST_REQUESTS_FOR_RECORDS) & thin
    for seen, rows in ((per_request, counted), (share, (per_request.requests < LEAST_REQUESTS_FOR_RECORDS) & thin)):
        # One half for what was never seen: no error record so far is no promise that there is none.
        usual = (seen.known + 0.5) / np.maximum(seen.served, 1.0) * seen.requests
        many = np.flatnonzero(rows & (seen.served >= LEAST_KNOWN_EVENTS) & (seen.counted > MORE_RECORDS * usual))
        bunch = seen.bunch[many]
        decades = np.zeros(len(rows))
        decades[many] = more(seen.counted[many] / bunch, usual[many] / bunch, (seen.known[many] + 0.5) / bunch)
        for i in np.flatnonzero(decades >= LEAST_LEVEL).tolist():
            written = max(float(share.requests[i]), float(share.counted[i]), 1.0)
            low, high = seen.range(i)
            numbers = (float(share.counted[i]) / written, min(1.0, low / written), min(1.0, high / written))
            service = keys[i][0]
            requests = max(float(seen.requests[i]), 1.0)
            ill = Illness(float(usual[i]) / requests, float(seen.counted[i]) / requests, float(seen.bunch[i]))
            own = part(Signal.LOGS, LOG_ERROR_RATE, numbers, decades[i], span_ns)
            yield Reason(service, float(decades[i]), own, ill=ill, kind=ERROR_SHARE if seen is share else ERRORS)


def worth_of(reasons: Sequence[Reason]) -> Worth:
    """What each coalition of reasons says together."""
    return lambda inside: np.array(
        [joint([r for r, is_in in zip(reasons, row, strict=True) if is_in]) for row in inside]
    )


def joint(reasons: list[Reason]) -> float:
    """Decades of all reasons together: of one kind, and then of all kinds, further ones count less, as they depend on each
    other."""
    kinds: dict[str, list[float]] = {}
    for reason in reasons:
        kinds.setdefault(reason.contribution.feature, []).append(reason.decades)
    return _falling([_falling(decades) for decades in kinds.values()])


def _falling(decades: list[float]) -> float:
    ordered = sorted(decades, reverse=True)[:3]
    return sum(d * w for d, w in zip(ordered, (1.0, ADDS_SECOND, ADDS_THIRD), strict=False))


def part(
    signal: Signal, feature: str, numbers: tuple[float, float, float], decades: float, span_ns: int
) -> Contribution:
    """What a reason adds to an anomaly. `numbers`: the value, and the range that is usual; fewer calls than usual are negative decades."""
    value, low, high = numbers
    return Contribution(
        signal=signal.value,
        feature=feature,
        value=value,
        low=low,
        high=high,
        decades=float(decades) if feature != CALL_RATE else -float(decades),
        share=0.0,
        window_s=span_ns / SECOND,
    )


def words(reason: Reason) -> str:
    """A reason as a person reads it."""
    said = wording.describe([reason.contribution])
    return f"to {reason.callee}: {said}" if reason.callee else said
