"""Faults too thin for any one window: calls that no longer follow requests, error records, time lost between services.

Where a service serves a request every few seconds, no window of one second can be told from chance; the last half minute and the last
minute together can. Every few seconds all services with little traffic are looked at. What quiet times have shown of a service is the
yardstick for what is unusual there; what lasts opens an anomaly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from contracts.events import Anomaly
from contracts.events.telemetry import anomaly_id
from contracts.features import CALL_RATE, COUNT_OF, LOG_ERROR_RATE, NETWORK_GAP, Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.units import HOUR, SECOND
from contracts.verdicts import AnomalyPhase, ServiceState
from models import wording
from models.contributions import shared
from models.judgement import (
    ABOVE_QUIET,
    LEAD,
    LEAST_LEVEL,
    LEAST_REQUESTS_FOR_RECORDS,
    LOOK_SPANS_NS,
    LOOKS_EVERY_NS,
    LOW_TRAFFIC,
    MATURE_WINDOWS,
    NOTICED_S,
    OPENS_LEVEL,
    OVER_SHARE,
    POOL_RATIO,
)
from models.low_traffic.counts import I64, RING, CountRing, Following, Rows
from models.low_traffic.ended import Illness, ended
from models.low_traffic.reasons import (
    CALLS,
    ERROR_SHARE,
    ERRORS,
    LostTime,
    Reason,
    TrafficLevel,
    error_records,
    joint,
    no_calls,
    part,
    words,
    worth_of,
)
from models.service.pooled import Pool

NAME: Final = "low-traffic"
VERSION: Final = "1"
FORGET_NS: Final = 6 * HOUR
"""A series unseen for this long is forgotten, once such are at least half of all."""


class LowTraffic:
    """The services with little traffic of one environment, as far as one partition sees it: callers, with what they call."""

    def __init__(self, environment: str, adopt_after_ns: int) -> None:
        self.environment, self._adopt_after_ns = environment, adopt_after_ns
        self._requests, self._records = CountRing(), CountRing()
        self._calls, self._errors, self._error_share = Following(), Following(), Following()
        self._gaps: dict[tuple[str, str], LostTime] = {}
        self._newest = self._looked = self._learnt_to = -1
        self._busy = 0
        """Windows with requests so far."""
        self._peaks: dict[str, float] = {}
        """Highest level of each service in quiet times."""
        self._lately: dict[str, list[tuple[int, float]]] = {}
        """Levels (by window) that may still be the beginning of something: they teach what is quiet once they are old."""
        self._open: dict[str, Anomaly] = {}
        self._ill: dict[str, dict[tuple[str, str], Illness]] = {}
        """Of services with an anomaly that is on: what was unusual at the worst, by kind and callee."""

    @property
    def troubled(self) -> frozenset[str]:
        """Services with an anomaly that is on."""
        return frozenset(self._open)

    def observe(self, frame: FeatureFrame, pool: Pool | None, learn: B1, strictness: float = 0.0) -> list[Anomaly]:
        """Take one frame in; anomalies that open or end. `pool`: its rows' pooled latency; `learn`: which of them may teach what is
        usual; `strictness`: decades by which more is asked for before one opens (`models.strictness`)."""
        if frame.revision > 0 or frame.signal == Signal.METRICS:
            return []
        window, keys = frame.window_ns // frame.width_ns, (frame.services, frame.peers)
        counts = np.where(frame.missing, np.nan, _happened(frame))
        if self._open:
            learn = learn & np.array([self._may_learn(name, frame.window_ns) for name in frame.services], np.bool_)
        if frame.signal == Signal.SPANS:
            self._requests.take(keys, window, counts, learn)
            if window > self._newest:
                self._newest = window
                self._busy += bool(frame.counts.any())
        elif frame.signal == Signal.EDGES:
            self._calls.events.take(keys, window, counts, learn)
            self._take_gaps(frame, pool, window)
        else:
            errors = np.where(np.isfinite(counts), np.nan_to_num(_column(frame, LOG_ERROR_RATE)) * counts, np.nan)
            self._records.take(keys, window, counts, learn)
            for following in (self._errors, self._error_share):
                following.events.take(keys, window, errors, learn)
        if (self._newest - self._looked) * frame.width_ns < LOOKS_EVERY_NS:
            return []
        self._looked = self._newest
        return self._step(self._levels(frame.width_ns), frame.width_ns, OPENS_LEVEL + strictness)

    def _may_learn(self, service: str, window_ns: int) -> bool:
        """Whether what a service does may teach what is usual. Calls that are no longer made, and nothing worse, do so in the end."""
        anomaly = self._open.get(service)
        if anomaly is None:
            return True
        harmless = all(c.feature == CALL_RATE for c in anomaly.contributions)
        return harmless and window_ns - anomaly.time_ns >= self._adopt_after_ns

    def _take_gaps(self, frame: FeatureFrame, pool: Pool | None, window: int) -> None:
        """Note on which calls time is lost now, by what is pooled of them."""
        if pool is None:
            return
        usual = np.sqrt(pool.low * pool.high)
        lost = (pool.decades >= LEAST_LEVEL) & (pool.typical >= np.maximum(POOL_RATIO * usual, usual + NOTICED_S))
        for i in np.flatnonzero((frame.counts > 0) & ~frame.missing).tolist():
            key = frame.services[i], frame.peers[i]
            self._gaps.pop(key, None)
            if lost[i]:
                numbers = (float(x[i]) for x in (pool.decades, pool.typical, pool.low, pool.high))
                self._gaps[key] = LostTime(window, *numbers)

    # --- a look -----------------------------------------------------------------------------------------------------

    def _levels(self, width_ns: int) -> dict[str, TrafficLevel]:
        """What is unusual of each service now, over the span that says most."""
        self._forget(width_ns)
        callers = self._rows(self._calls.events, self._requests)
        writers = self._rows(self._errors.events, self._requests)
        own = np.arange(len(self._records))
        self._learn(callers, writers, own, max(LOOK_SPANS_NS) // width_ns)
        rate = self._requests.rate() * SECOND / width_ns
        thin = np.append((rate > 0) & (rate < LOW_TRAFFIC), False)  # row -1: not known how much it serves
        best: dict[str, TrafficLevel] = {}
        for span_ns in LOOK_SPANS_NS:
            now, then = self._windows(span_ns // width_ns)
            calls = self._calls.compare(self._requests, callers, now, then)
            errors = self._errors.compare(self._requests, writers, now, then)
            records = self._error_share.compare(self._records, own, now, then)
            found: dict[str, list[Reason]] = {}
            for reason in (
                *no_calls(self._calls.events.slots.keys, calls, callers, thin[callers], span_ns),
                *error_records(self._errors.events.slots.keys, errors, records, thin[writers], span_ns),
                *self._lost_time(thin, span_ns, width_ns),
            ):
                found.setdefault(reason.service, []).append(reason)
            for name, reasons in found.items():
                level = TrafficLevel(
                    joint(reasons), span_ns, tuple(sorted(reasons, key=lambda r: (-r.decades, r.callee)))
                )
                if name not in best or level.decades > best[name].decades:
                    best[name] = level
        return best

    def _windows(self, n: int) -> tuple[I64, I64]:
        """The last `n` windows, and those before them that nothing was learnt from yet."""
        now = np.arange(self._newest - n + 1, self._newest + 1)
        return now, np.arange(self._learnt_to + 1, self._newest - n - LEAD + 1)

    @staticmethod
    def _rows(ring: CountRing, requests: CountRing) -> Rows:
        found = (requests.slots.find(service, "") for service, _ in ring.slots.keys)
        return np.array([-1 if row is None else row for row in found], np.intp)

    def _learn(self, callers: Rows, writers: Rows, own: Rows, longest: int) -> None:
        """Learn from windows that leave the longest look."""
        first = max(self._learnt_to + 1, self._newest - RING + 1)
        for window in range(first, self._newest - longest + 1):
            self._calls.learn(self._requests, callers, window)
            self._errors.learn(self._requests, writers, window)
            self._error_share.learn(self._records, own, window)
            self._learnt_to = window

    def _lost_time(self, thin: B1, span_ns: int, width_ns: int) -> Iterator[Reason]:
        """Calls of a caller between whose ends time is lost."""
        for (caller, callee), gap in list(self._gaps.items()):
            row = self._requests.slots.find(caller, "")
            if gap.window <= self._newest - max(LOOK_SPANS_NS) // width_ns:
                del self._gaps[caller, callee]
            elif row is not None and thin[row]:
                numbers = gap.typical, gap.low, gap.high
                own = part(Signal.EDGES, NETWORK_GAP, numbers, gap.decades, span_ns)
                yield Reason(caller, gap.decades, own, callee)

    # --- what lasts -------------------------------------------------------------------------------------------------

    def _step(self, levels: dict[str, TrafficLevel], width_ns: int, opens: float) -> list[Anomaly]:
        now_ns = (self._newest + 1) * width_ns
        told = []
        for name in sorted(levels.keys() | self._open.keys() | self._lately.keys()):
            level = levels.get(name, TrafficLevel(0.0, 0, ()))
            self._teach(name, level.decades, width_ns)
            if name in self._open:
                if level.decades < OVER_SHARE * self._open[name].decades or self._ended(name, level, width_ns):
                    told.append(self._over(self._open.pop(name), now_ns, width_ns))
                    self._ill.pop(name, None)
            elif self._unusual(name, level.decades, opens):
                self._lately.pop(name, None)
                self._open[name] = self._anomaly(name, level, now_ns)
                self._fall_ill(name, level)
                told.append(self._open[name])
        return told

    def _fall_ill(self, name: str, level: TrafficLevel) -> None:
        """Note what is unusual of a service, at the worst."""
        known = self._ill.setdefault(name, {})
        for r in level.reasons:
            if r.ill is not None:
                key = (r.kind, r.callee)
                known[key] = known[key].grown(r.ill) if key in known else r.ill

    def _ended(self, name: str, level: TrafficLevel, width_ns: int) -> bool:
        """Whether the newest requests of a service since its anomaly opened say that all is over that was unusual; then looks begin anew after
        them."""
        self._fall_ill(name, level)
        ill = self._ill[name]
        if not ill or any(r.ill is None for r in level.reasons):
            return False
        longest, opened = max(LOOK_SPANS_NS) // width_ns, self._open[name].time_ns // width_ns
        now, _ = self._windows(min(longest, self._newest + 1 - opened))
        rings = {CALLS: self._calls.events, ERRORS: self._errors.events, ERROR_SHARE: self._error_share.events}
        ended_by = []
        for (kind, callee), illness in ill.items():
            events, of = rings[kind], self._records if kind == ERROR_SHARE else self._requests
            row, served = events.slots.find(name, callee), of.slots.find(name, "")
            if row is None or served is None:
                return False
            if not ended(events.of(np.array([row]), now)[0], of.of(np.array([served]), now)[0], illness):
                return False
            ended_by.append((events, row))
        for events, row in ended_by:
            events.forget(row)
        return True

    def _teach(self, name: str, level: float, width_ns: int) -> None:
        """Levels of before what is looked at show how far a service goes in quiet times."""
        lately = self._lately.setdefault(name, [])
        if level > 0 and name not in self._open:
            lately.append((self._newest, level))
        while lately and (self._newest - lately[0][0]) * width_ns >= max(LOOK_SPANS_NS):
            self._peaks[name] = max(lately.pop(0)[1], self._peaks.get(name, 0.0))
        if not lately:
            del self._lately[name]

    def _unusual(self, name: str, level: float, opens: float = OPENS_LEVEL) -> bool:
        """Whether a level (`opens`: from which one opens) is beyond what quiet times have shown of a service, and the more so the less
        was seen of them."""
        young = max(1.0, MATURE_WINDOWS / max(self._busy, 1))
        return level >= max(opens * young, ABOVE_QUIET * self._peaks.get(name, 0.0))

    def _anomaly(self, name: str, level: TrafficLevel, now_ns: int) -> Anomaly:
        callee = next((r.callee for r in level.reasons if r.callee), "")
        return Anomaly(
            id=anomaly_id("an", self.environment, name, NAME, now_ns),
            environment=self.environment,
            service=name,
            phase=AnomalyPhase.OPENED,
            state=ServiceState.ANOMALOUS,
            onset_ns=now_ns - level.span_ns,
            time_ns=now_ns,
            p_value=10.0**-level.decades,
            decades=level.decades,
            contributions=shared([r.contribution for r in level.reasons], worth_of(level.reasons)),
            detector=NAME,
            model_version=VERSION,
            text="; ".join(words(r) for r in level.reasons[: wording.MOST]),
            peer=callee,
            pooled_s=level.span_ns / SECOND,
        )

    def _over(self, anomaly: Anomaly, now_ns: int, width_ns: int) -> Anomaly:
        """Nothing unusual is seen any more: well, if it serves requests; else that can't be told."""
        row = self._requests.slots.find(anomaly.service, "")
        now, _ = self._windows(min(LOOK_SPANS_NS) // width_ns)
        serves = row is not None and np.nansum(self._requests.of(np.array([row]), now)) >= LEAST_REQUESTS_FOR_RECORDS
        return msgspec.structs.replace(
            anomaly,
            phase=AnomalyPhase.CLOSED,
            state=ServiceState.HEALTHY if serves else ServiceState.STALE,
            time_ns=now_ns,
            text="back to what is usual" if serves else "hardly any requests come: whether it is well can't be told",
        )

    # --- state ------------------------------------------------------------------------------------------------------

    def _forget(self, width_ns: int) -> None:
        """Forget series that nothing was heard of for long, where there are many of them."""
        for known in (self._requests, self._records, self._calls, self._errors, self._error_share):
            ring = known if isinstance(known, CountRing) else known.events
            kept = np.flatnonzero(ring.newest() >= self._newest - FORGET_NS // width_ns)
            if 2 * len(kept) < len(ring):
                known.keep(kept)
        if len(self._peaks) > 2 * len(self._requests) + 64:
            here = {service for service, _ in self._requests.slots.keys}
            self._peaks = {name: peak for name, peak in self._peaks.items() if name in here}

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        return {
            "environment": self.environment,
            "rings": [self._requests.plain(), self._records.plain()],
            "following": [f.plain() for f in (self._calls, self._errors, self._error_share)],
            "gaps": [
                [*key, gap.window, gap.decades, gap.typical, gap.low, gap.high] for key, gap in self._gaps.items()
            ],
            "windows": [self._newest, self._looked, self._learnt_to, self._busy],
            "peaks": self._peaks,
            "lately": [[name, window, level] for name, seen in self._lately.items() for window, level in seen],
            "open": [msgspec.to_builtins(a) for a in self._open.values()],
            "ill": [
                [name, *key, ill.usual, ill.worst, ill.bunch]
                for name, known in self._ill.items()
                for key, ill in known.items()
            ],
        }

    @classmethod
    def of(cls, plain: dict[str, Any], adopt_after_ns: int) -> LowTraffic:
        """Inverse of `plain`."""
        it = cls(plain["environment"], adopt_after_ns)
        it._requests, it._records = (CountRing.of_plain(p) for p in plain["rings"])
        it._calls, it._errors, it._error_share = (Following.of_plain(p) for p in plain["following"])
        it._gaps = {(a, b): LostTime(*numbers) for a, b, *numbers in plain["gaps"]}
        it._newest, it._looked, it._learnt_to, it._busy = plain["windows"]
        it._peaks = dict(plain["peaks"])
        for name, window, level in plain["lately"]:
            it._lately.setdefault(name, []).append((window, level))
        it._open = {a.service: a for a in msgspec.convert(plain["open"], list[Anomaly])}
        for name, kind, callee, *shares in plain.get("ill", ()):  # in states of before nobody had any
            it._ill.setdefault(name, {})[kind, callee] = Illness(*shares)
        return it


def _happened(frame: FeatureFrame) -> F64:
    """Events of each row: what was sampled stands for more than what came. NaN where that is not known."""
    return _column(frame, COUNT_OF[Signal(frame.signal)]) * (frame.width_ns / SECOND)


def _column(frame: FeatureFrame, name: str) -> F64:
    if name not in frame.features:
        return np.zeros(len(frame.services))
    column: F64 = frame.values[:, frame.features.index(name)]
    return column
