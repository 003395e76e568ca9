"""Which share of requests has spans, by what metrics count of the same requests: sampling that nothing declares.

A service that counts its requests in metrics tells how many there were; its spans tell how many were kept. A share that changes while
metrics count on as before is a sampler's doing, not traffic's: rates are told as at the share that was first seen, so that a series goes
on as it was. A sampler that keeps failures rather than successes shows in shares that differ: each kept failure stands for `failed`
failures and each success for `well` of them (post-stratification: Holt and Smith 1979), so that the share of failures is that of all
requests. A kept failure never stands for less than itself, whatever metrics say.

Metrics come later than spans. Where they come at least every `QUICK_NS`, a rate of spans that leaps is not told until metrics have
confirmed it: two witnesses of one fact are asked before it is news.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from contracts.features import (
    BY_SIGNAL,
    CALL_ERROR_RATE,
    CALL_RATE,
    ERROR_RATE,
    METRIC_ERROR_RATE,
    METRIC_REQUEST_RATE,
    REQUEST_RATE,
    Signal,
)
from contracts.frames import FeatureFrame
from contracts.units import SECOND

QUICK_NS: Final = 5 * SECOND
PATIENCE_NS: Final = 4 * SECOND
"""How much longer than their pace metrics are waited for."""
_LONGEST_NS: Final = 150 * SECOND
_INTERVALS: Final = 6
"""Readings of metrics that count: the latest."""
_ENOUGH: Final = 30.0
_LEAP: Final = math.log(1.5)
_SIGMAS: Final = 4.0
_FEW_FAILURES: Final = 3.0
_RECENT: Final = 8
_WINDOWS: Final = 256
_MOST: Final = 20_000
_RATES: Final = {Signal.SPANS: (REQUEST_RATE, ERROR_RATE), Signal.EDGES: (CALL_RATE, CALL_ERROR_RATE)}
_METRICS: Final = BY_SIGNAL[Signal.METRICS]


@dataclass(slots=True)
class ServiceCounts:
    """Of one service: requests and failures by its spans per window, and by its metrics per reading."""

    spans: dict[int, tuple[float, float]] = field(default_factory=dict)
    readings: deque[tuple[float, float, float, float]] = field(default_factory=lambda: deque(maxlen=_INTERVALS))
    """Spans, failed ones, requests by metrics, failed ones (NaN: metrics don't tell)."""
    waiting: list[tuple[int, int, float, float]] = field(default_factory=list)
    """Readings whose spans are not all there: windows from and to, requests, failures."""
    read_ns: int = 0
    pace_ns: int = 0
    """How often metrics come."""
    first: float = 0.0
    """The share that was first seen; 0: none yet."""
    compared_ns: int = 0
    """The last window of which spans and metrics were compared."""
    leapt_ns: int = 0
    """Since when the rate is another; 0: it is not."""
    pending: bool = False
    usual: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    """The latest rates that were told."""

    def take_spans(self, window_ns: int, count: float, failed: float) -> None:
        """Requests of a window."""
        self.spans[window_ns] = (count, failed)
        while len(self.spans) > _WINDOWS:
            del self.spans[min(self.spans)]
        ready = [w for w in self.waiting if w[1] <= window_ns]
        if ready:
            self.waiting = [w for w in self.waiting if w[1] > window_ns]
            for begin_ns, end_ns, requests, failures in ready:
                self._read(begin_ns, end_ns, requests, failures)

    def take_metrics(self, window_ns: int, rate: float, failing: float) -> None:
        """Metrics were read: a rate since they were read before, and the share that failed."""
        since_ns, self.read_ns = self.read_ns, max(window_ns, self.read_ns)
        if not 0 < window_ns - since_ns <= _LONGEST_NS or not since_ns:
            return
        self.pace_ns = window_ns - since_ns
        requests = rate * self.pace_ns / SECOND
        found = (since_ns, window_ns, requests, failing * requests)
        if self.spans and max(self.spans) >= window_ns:
            self._read(*found)
        else:
            self.waiting = [*self.waiting, found][-_INTERVALS:]

    def _read(self, begin_ns: int, end_ns: int, requests: float, failures: float) -> None:
        kept = [found for window_ns, found in self.spans.items() if begin_ns < window_ns <= end_ns]
        count, failed = (sum(part) for part in zip(*kept, strict=True)) if kept else (0.0, 0.0)
        before, self.compared_ns = self.share, max(self.compared_ns, end_ns)
        if before and requests >= _ENOUGH and abs(math.log((count + 1) / (requests + 1)) - math.log(before)) > _LEAP:
            self.readings.clear()
        self.readings.append((count, failed, requests, failures))
        if not self.first and self.share:
            self.first = self.share

    @property
    def times(self) -> tuple[int, int, int, int, bool, float]:
        """What a snapshot keeps besides lists."""
        return self.read_ns, self.pace_ns, self.compared_ns, self.leapt_ns, self.pending, self.first

    @property
    def share(self) -> float:
        """Of requests so many have spans; 0 where it is not known."""
        count, _, requests, _ = self._sums()
        return count / requests if requests >= _ENOUGH and count > 0 else 0.0

    def _sums(self) -> tuple[float, float, float, float]:
        found = np.sum(np.array(self.readings), axis=0) if self.readings else np.zeros(4)
        return float(found[0]), float(found[1]), float(found[2]), float(found[3])

    def tell(self, rate: float, now_ns: int) -> bool:
        """Whether the rate of a window may be told: it is no leap, or metrics have been compared since it began, or none that come
        quickly could say otherwise."""
        usual = float(np.median(self.usual)) if self.usual else rate
        if abs(math.log((rate + 1) / (usual + 1))) <= _LEAP:
            self.leapt_ns, self.pending = 0, False
        else:
            self.leapt_ns = self.leapt_ns or now_ns
            quick = 0 < self.pace_ns <= QUICK_NS and now_ns - self.leapt_ns <= 2 * self.pace_ns + PATIENCE_NS
            self.pending = quick and self.compared_ns < self.leapt_ns + self.pace_ns
        if not self.pending:
            self.usual.append(rate)
        return not self.pending

    def weights(self) -> tuple[float, float, float]:
        """By how much a rate is told higher, and how many a success and a failure stand for."""
        count, failed, requests, failures = self._sums()
        share = self.share
        if not share:
            return 1.0, 1.0, 1.0
        sampled = min(share, self.first) < 1.0 and abs(requests - count) > _SIGMAS * math.sqrt(requests)
        again = self.first / share if abs(math.log(self.first / share)) > _LEAP else 1.0
        if not sampled or share >= 1.0:
            return again, 1.0, 1.0
        each = 1 / share
        if not (failures >= _FEW_FAILURES and failed >= _FEW_FAILURES and count > failed):
            return again, each, each
        bad = max(1.0, failures / failed)
        return again, max(1.0, (requests - bad * failed) / (count - failed)), bad


class KeptShares:
    """The services of one environment and partition."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, ServiceCounts] = OrderedDict()

    def read(self, frame: FeatureFrame) -> None:
        """Take a frame of metrics in."""
        if frame.revision > 0:
            return
        rate = frame.values[:, _METRICS.index(METRIC_REQUEST_RATE)]
        failing = frame.values[:, _METRICS.index(METRIC_ERROR_RATE)]
        for i in np.flatnonzero(np.isfinite(rate)).tolist():
            self._service(frame.services[i]).take_metrics(frame.window_ns, float(rate[i]), float(failing[i]))

    def _service(self, name: str) -> ServiceCounts:
        known = self._of.get(name)
        if known is None:
            known = self._of[name] = ServiceCounts()
            if len(self._of) > _MOST:
                self._of.popitem(last=False)
        return known

    def correct(self, frame: FeatureFrame) -> FeatureFrame:
        """A frame of spans or edges as it would be had all requests spans; of spans, take it in, too."""
        names = _RATES[Signal(frame.signal)]
        some = [i for i, name in enumerate(frame.services) if name in self._of]
        if not some:
            return frame
        rate_at, share_at = (frame.features.index(name) for name in names)
        values, counts = frame.values.copy(), frame.counts.copy()
        for i in some:
            service, rate, failing = self._of[frame.services[i]], float(values[i, rate_at]), float(values[i, share_at])
            if not math.isfinite(rate):
                continue
            width_s = frame.width_ns / SECOND
            failed = 0.0 if math.isnan(failing) else failing * rate
            again, well, bad = service.weights()
            if frame.signal == Signal.SPANS and frame.revision == 0:
                service.take_spans(frame.window_ns, rate * width_s, failed * width_s)
                told = service.tell(rate * again, frame.window_ns)
            else:
                told = not service.pending
            values[i, rate_at] = rate * again if told else np.nan
            if well != bad and rate > 0:
                whole = well * (rate - failed) + bad * failed
                values[i, share_at] = bad * failed / whole
                square = (well**2 * (rate - failed) + bad**2 * failed) / rate
                counts[i] = max(1, round(int(counts[i]) * (whole / rate) ** 2 / square)) if counts[i] else 0
        return dataclasses.replace(frame, values=values, counts=counts)

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {name: [s.spans, list(s.readings), s.waiting, list(s.usual), s.times] for name, s in self._of.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self._of = OrderedDict()
        for name, (spans, readings, waiting, usual, times) in state.items():
            known = self._service(name)
            known.spans = {int(w): (float(c), float(f)) for w, (c, f) in spans.items()}
            known.readings.extend(tuple(r) for r in readings)
            known.waiting = [tuple(w) for w in waiting]
            known.read_ns, known.pace_ns, known.compared_ns, known.leapt_ns, known.pending, known.first = times
            known.usual.extend(usual)
