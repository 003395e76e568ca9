"""What spans tell where a part of them may be kept by what came of them: sampling that nothing declares.

A service whose spans fall short of what is usual is asked for less, or somebody keeps only a part of its traces. Its metrics, if it has
any, tell which (`streams.windows.counted`). Until they do, and where there are none, what is told of failures and latencies is no worse
than it would be had all that is missing gone well (`streams.windows.usual`). Where metrics say that it is a sampler's doing,

- neither requests nor calls are told by spans: how many there are metrics know, and which are missing nobody does;
- a kept failure stands for as many as metrics tell of, and never for less than itself.

Metrics come later than spans: two witnesses of one fact are asked before it is news. A rate of spans that leaps up is not told until
metrics have confirmed it where they come at least every `counted.QUICK_NS`, one that falls wherever they come.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np

from contracts.features import (
    ASIDE,
    ASKED,
    CALL_ERROR_RATE,
    CALL_LATENCY_P95,
    CALL_RATE,
    ERROR_RATE,
    LATENCY_P50,
    LATENCY_P95,
    LATENCY_P99,
    REQUEST_RATE,
    Signal,
)
from contracts.frames import FeatureFrame
from contracts.frames.decoded import B1, F64, I64
from contracts.units import SECOND
from streams.windows.counted import QUICK_NS, Interval, ServiceCounts
from streams.windows.timed import MeteredLatencies
from streams.windows.usual import LESS, UsualRows

_MOST: Final = 20_000
_SIGMAS: Final = 4.0
_PAUSES: Final = 5.0
"""A pause of so many times the mean one comes by chance once in 150 times."""
_LATELY: Final = 0.2
_COLUMNS: Final = {
    Signal.SPANS: (REQUEST_RATE, ERROR_RATE, (LATENCY_P50, LATENCY_P95, LATENCY_P99)),
    Signal.EDGES: (CALL_RATE, CALL_ERROR_RATE, (CALL_LATENCY_P95,)),
}
_ASKED: Final = ASIDE[Signal.EDGES].index(ASKED)


@dataclasses.dataclass(slots=True)
class Leap:
    """Since when a service's rate is another, and in how many windows since then, up to which, spans came."""

    since_ns: int
    filled: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def are_some(self, window_ns: int, events: float, others: float) -> bool:
        """Whether a few spans come, of this window or of those around it, as of who keeps a few: that none came in one is no zero then. Of
        who has gone none come any more, however long one waits. `others`: how many would come in a second if as many of this service's were
        kept as of the others'."""
        if events > 0:
            self.filled, self.first_ns, self.last_ns = self.filled + 1, self.first_ns or window_ns, window_ns
            return True
        begun_ns = self.first_ns if self.filled > 1 else self.since_ns
        between_ns = (self.last_ns - begun_ns) / max(self.filled - 1, 1) if self.filled else 0.0
        between_ns *= 1 + 2 / max(self.filled, 1)  # of a few pauses the mean may well be longer
        longest_ns = max(between_ns, SECOND / others if others > 0 else 0.0)
        return longest_ns > 0 and window_ns - max(self.last_ns, self.since_ns) <= _PAUSES * longest_ns

    def state(self) -> list[int]:
        """For a snapshot."""
        return [self.since_ns, self.filled, self.first_ns, self.last_ns]

    @classmethod
    def of(cls, state: list[int] | int) -> Leap:
        """The leap of a snapshot; one of before spans were counted has its time alone."""
        return cls(*state) if isinstance(state, list) else cls(state)


class KeptRows(NamedTuple):
    """What is known of the rows of a frame: events that came, those that failed, and for each row

    short     whether fewer came than usual and nobody tells why: a sampler may have left the rest out
    sampled   whether metrics say that a sampler's doing is not what it was
    whole     events of which these are a part, where one of the two is so
    rate      the rate to be told; NaN: it is not known
    """

    events: F64
    failed: F64
    short: B1
    sampled: B1
    whole: F64
    rate: F64


class KeptShares:
    """The services of one environment and partition."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, ServiceCounts] = OrderedDict()
        """Of services whose metrics count requests."""
        self._usual = {signal: UsualRows(len(columns[2])) for signal, columns in _COLUMNS.items()}
        self._metered = MeteredLatencies()
        self._leapt: dict[str, Leap] = {}
        """Services whose rate has become another."""
        self._held: set[str] = set()
        """Those of them whose metrics are waited for."""
        self._short: set[str] = set()
        self._lately: F64 = np.zeros(2)
        """Spans of all services in a frame lately, and those that are usual."""
        self._now_ns = 0

    def read(self, intervals: Iterable[tuple[str, int, int, float, float]], width_ns: int) -> None:
        """Take what metrics count: service, begin and end of the interval, requests, failed ones."""
        merged: dict[str, dict[tuple[int, int], tuple[float, float]]] = defaultdict(dict)
        for service, begin_ns, end_ns, requests, failed in intervals:
            before = merged[service].get((begin_ns, end_ns), (0.0, 0.0))
            merged[service][begin_ns, end_ns] = before[0] + requests, before[1] + failed
        for service, found in merged.items():
            known = self._counts.get(service)
            if known is None:
                known = self._counts[service] = ServiceCounts(width_ns)
                if len(self._counts) > _MOST:
                    self._counts.popitem(last=False)
            self._counts.move_to_end(service)
            several: list[Interval] = [(*when, *many) for when, many in found.items()]
            known.take_metrics(several)

    def time(self, frames: Iterable[FeatureFrame]) -> None:
        """Take how long requests take by metrics."""
        for frame in frames:
            self._metered.take(frame, self._leapt.keys())

    def correct(self, frame: FeatureFrame) -> FeatureFrame:
        """A frame of spans or edges as it is to be told; unless it is a correction, take it in, too."""
        signal = Signal(frame.signal)
        rate, failing, quantiles = _COLUMNS[signal]
        rate_at, failing_at = frame.features.index(rate), frame.features.index(failing)
        columns = np.array([frame.features.index(name) for name in quantiles], np.int64)
        usual = self._usual[signal]
        rows = usual.rows(list(zip(frame.services, frame.peers or [""] * len(frame.services), strict=True)))
        kept = self._kept(frame, rows, frame.values[:, rate_at], frame.values[:, failing_at])
        doubt = kept.short | kept.sampled
        few = (doubt | usual.few(rows, kept.events)) & (kept.events > 0)
        if frame.revision == 0:
            usual.learn(rows, kept.events, frame.values[:, columns], doubt)
        if not (doubt | few).any() and np.array_equal(kept.rate, frame.values[:, rate_at], equal_nan=True):
            return frame
        values, counts = frame.values.copy(), frame.counts.copy()
        values[:, rate_at] = kept.rate
        some = np.flatnonzero(doubt & (kept.events > 0))
        values[some, failing_at], counts[some] = self._failing(frame, kept, some)
        values = self._timed(frame, values, np.flatnonzero(few), columns, rows)
        aside = frame.aside
        if signal is Signal.EDGES and len(aside):
            aside = aside.astype(np.float64)
            aside[doubt, _ASKED] = np.nan
        return dataclasses.replace(frame, values=values, counts=counts, aside=aside)

    def beyond_doubt(self, frame: FeatureFrame, passed: float) -> FeatureFrame | None:
        """A glimpse of spans as it is to be told, of a window of which such a part has passed: the rows of which as many came as usual, and none
        was left out lately. None where there are none."""
        usual = self._usual[Signal.SPANS]
        rows = usual.rows([(name, "") for name in frame.services])
        values, rate_at = frame.values.copy(), frame.features.index(REQUEST_RATE)
        sure = ~usual.few(rows, values[:, rate_at] * (frame.width_ns / SECOND), passed)
        for i in np.flatnonzero(sure).tolist():
            name = frame.services[i]
            known = self._counts.get(name)
            sure[i] = not (name in self._leapt or (known is not None and known.is_other(frame.window_ns)))
        if not sure.any():
            return None
        values[:, rate_at] = np.nan
        which = np.flatnonzero(sure)
        services, versions, attributes = (
            tuple(texts[i] for i in which) for texts in (frame.services, frame.versions, frame.attributes)
        )
        return dataclasses.replace(
            frame,
            services=services,
            versions=versions,
            attributes=attributes,
            values=values[which],
            counts=frame.counts[which],
            aside=frame.aside[which],
        )

    def _timed(self, frame: FeatureFrame, values: F64, some: I64, columns: I64, rows: I64) -> F64:
        """Values without the latencies of some rows that are longer only as of the rest nothing came."""
        usual, latencies = self._usual[Signal(frame.signal)], values[np.ix_(some, columns)]
        as_ever = ~usual.more_slow(rows[some], latencies) | self._refuted(frame, some, len(columns))
        latencies[usual.slower(rows[some], latencies) & as_ever] = np.nan
        values[np.ix_(some, columns)] = latencies
        return values

    def _kept(self, frame: FeatureFrame, rows: I64, rate: F64, failing: F64) -> KeptRows:
        """Look at the rows of a frame, and take in those of spans."""
        events = rate * (frame.width_ns / SECOND)
        failed = np.nan_to_num(failing) * events
        counts, names = self._counts, frame.services
        usual = self._usual[Signal(frame.signal)].usual(rows)
        if frame.signal == Signal.SPANS:
            each = np.where(frame.counts > 0, events / np.maximum(frame.counts, 1), np.nan)
            short = self._usual[Signal.SPANS].short(rows, events, each)
            if frame.revision == 0:
                self._take(frame, rows, (events, failed, short))
        since = np.array([self._since(name) <= frame.window_ns for name in names], np.bool_)
        short = since & np.array([name in self._short for name in names], np.bool_)
        whole, told = usual.copy(), rate.copy()
        other = [name in counts and counts[name].is_other(frame.window_ns) for name in names]
        sampled = since & np.array(other, np.bool_)
        for i in np.flatnonzero(sampled).tolist():
            known = counts[names[i]]
            several = known.rate * frame.width_ns / SECOND
            whole[i] = several if frame.signal == Signal.SPANS else usual[i] * known.rate / known.usual_rate
        held = since & np.array([name in self._held for name in names], np.bool_)
        told[sampled | held] = np.nan
        return KeptRows(events, failed, short & ~sampled, sampled, whole, np.where(np.isfinite(rate), told, np.nan))

    def _take(self, frame: FeatureFrame, rows: I64, seen: tuple[F64, F64, B1]) -> None:
        """Spans of a window: is the rate another, and what do metrics say to that?"""
        events, failed, short = seen
        self._now_ns = max(self._now_ns, frame.window_ns)
        usual = self._usual[Signal.SPANS]
        level = usual.usual(rows)
        with np.errstate(invalid="ignore"):
            # Roots of numbers of a Poisson process vary by a half (Anscombe 1948): its upper tail is longer than a normal one's.
            apart = 2 * (np.sqrt(events) - np.sqrt(level)) / np.sqrt(usual.varies(rows))
            more = (events > level * LESS) & (apart > _SIGMAS)
        trials = np.maximum(frame.counts, 1)
        others = self._others(frame, events, level)
        for i, name in enumerate(frame.services):
            known = self._counts.get(name)
            if known is not None:
                known.take_spans(frame.window_ns, float(events[i]), float(failed[i]), float(events[i] ** 2 / trials[i]))
            if not (short[i] or more[i]):
                self._settled(name)
                continue
            if name not in self._leapt and known is not None:
                known.leapt()
            leap = self._leapt.setdefault(name, Leap(frame.window_ns))
            since_ns, some = leap.since_ns, leap.are_some(frame.window_ns, float(events[i]), float(others[i]))
            waits = known is not None and known.waited_for(since_ns, frame.window_ns, few=short[i] and some)
            (self._held.add if waits else self._held.discard)(name)
            agreed = known is not None and known.agrees(since_ns)
            (self._short.add if short[i] and not agreed else self._short.discard)(name)
            if agreed:
                usual.accept(rows[i : i + 1])

    def _others(self, frame: FeatureFrame, events: F64, level: F64) -> F64:
        """How many spans a second would come of each service if of its usual ones there were as many as now, or lately, of the others'."""
        known = np.isfinite(level) & np.isfinite(events)
        came, usual = np.where(known, events, 0.0), np.where(known, level, 0.0)
        now = np.array([came.sum(), usual.sum()])
        self._lately += _LATELY * (now - self._lately)
        shares = []
        for some, of in (now, self._lately):
            rest = np.maximum(of - usual, 0.0)
            shares.append(np.divide(np.maximum(some - came, 0.0), rest, out=np.zeros(len(rest)), where=rest > 0))
        share = np.where(shares[0] > 0, np.minimum(*shares), shares[1])
        expected: F64 = np.minimum(share, 1.0) * usual * (SECOND / frame.width_ns)
        return expected

    def forget(self, services: Iterable[str]) -> None:
        """Services have left: nobody waits for their metrics any more. What is usual of them is forgotten by itself."""
        for name in services:
            self._settled(name)

    def _settled(self, name: str) -> None:
        self._leapt.pop(name, None)
        self._held.discard(name)
        self._short.discard(name)

    def _since(self, name: str) -> int:
        return self._leapt[name].since_ns if name in self._leapt else 0

    def _refuted(self, frame: FeatureFrame, some: I64, columns: int) -> B1:
        """Whose longer latencies are a sampler's doing by their metrics, (rows, columns): those are as ever, or will tell soon."""
        found = np.zeros((len(some), columns), np.bool_)
        for i, row in enumerate(some.tolist()):
            name = frame.services[row]
            known, since_ns = self._counts.get(name), self._since(name)
            if known is None or not self._metered.knows(name) or not known.goes_on(frame.window_ns):
                continue
            said = self._metered.as_ever(name, since_ns + known.pace_ns // 2)
            if said is None:
                found[i] = known.pace_ns <= QUICK_NS
            else:
                found[i] = said if columns == len(said) else said[1]
        return found

    def _failing(self, frame: FeatureFrame, kept: KeptRows, some: I64) -> tuple[F64, I64]:
        """Of some rows the share that failed, and the number of trials that it is worth: of what is missing it is taken for known that it
        went well, of failures that it is estimated (Kish's effective size, see `row_values.adjusted`). NaN where metrics tell it soon."""
        failed = kept.failed[some]
        bad = np.array([self._stands_for(frame.services[i]) for i in some.tolist()]) * failed
        whole = np.fmax(np.fmax(kept.whole[some], 0.0), kept.events[some] - failed + bad)
        square = whole - bad + bad**2 / np.maximum(failed, 1.0)
        trials = np.where(np.isfinite(bad), np.rint(whole**2 / np.maximum(square, 1e-9)), frame.counts[some])
        trials = np.clip(trials, 1, np.maximum(frame.counts[some], 1))  # a count is of what came
        return bad / np.maximum(whole, 1e-9), trials.astype(np.int64)

    def _stands_for(self, service: str) -> float:
        known = self._counts.get(service)
        if known is None:
            return 1.0
        return known.stands_for if known.is_quick(self._now_ns) else float(np.nan_to_num(known.stands_for, nan=1.0))

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {
            "counts": {name: known.state() for name, known in self._counts.items()},
            "usual": {str(signal): usual.state() for signal, usual in self._usual.items()},
            "leapt": {name: leap.state() for name, leap in self._leapt.items()},
            "metered": self._metered.state(),
            "lately": self._lately.tolist(),
            "held": sorted(self._held),
            "short": sorted(self._short),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot; one of before there was as much in it says nothing."""
        if "usual" not in state:
            return
        self._counts = OrderedDict((name, ServiceCounts.of(known)) for name, known in state["counts"].items())
        for signal, usual in state["usual"].items():
            self._usual[Signal(signal)].load(usual)
        self._leapt = {n: Leap.of(leap) for n, leap in state["leapt"].items()}
        self._held, self._short = set(state["held"]), set(state["short"])
        self._metered.load(state.get("metered", []))
        self._lately = np.array(state.get("lately", (0.0, 0.0)), np.float64)
