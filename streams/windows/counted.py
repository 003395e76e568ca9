"""Of one service: its requests by spans beside those that its metrics count, over the same time, as far as both have come.

Metrics count over intervals of their own: of a second or a minute, of several instances one after the other. What an interval counts is
spread over the windows that it covers, and windows are looked at from which on and up to which all have come. That cuts some intervals in
two, whose part is known only as that of a Poisson process is (given its total, binomial); it goes into the uncertainty, as do requests
that one of the two counts a second later. Metrics that are made of spans count them some seconds after they ended: a share is another
only if it is so by the spans of that many seconds before, too.

A share of requests with spans that is not what it was may have two causes. More is asked for of what has no spans, or less of what has:
then spans changed by no more than requests did. Any other change is a sampler's doing. Metrics that count fewer requests than there
are spans count only some of them, and are no witness.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.units import SECOND

QUICK_NS: Final = 5 * SECOND
PATIENCE_NS: Final = 10 * SECOND
"""How much longer than their pace metrics are waited for."""
LONGEST_NS: Final = 150 * SECOND
"""The longest time that is looked at at once; of longer intervals nothing is believed."""
_SHORTEST_NS: Final = 3 * SECOND
_LEAST_NS: Final = 2 * SECOND
_LAG_NS: Final = 5 * SECOND
_JITTER_S: Final = 1.0
"""Requests of so many seconds may be counted by one and not yet by the other."""
_ENOUGH: Final = 30.0
_KNOWN: Final = 60.0
"""Requests from which on it is known what share of them has spans."""
_MOST_OF: Final = 0.9
_LEAP: Final = 1.5
_SIGMAS: Final = 4.0
_MORE: Final = 1.15
_FEW_FAILURES: Final = 3.0
_FADES_NS: Final = 120 * SECOND
"""In this time what was seen loses half of its weight."""
_PACES: Final = 8
_NONE: Final = (0.0, 0.0, 0.0)
Interval = tuple[int, int, float, float]
"""Begin, end, requests, failed ones."""


@dataclass(slots=True)
class PastShare:
    """What was seen while the share was one: spans and requests, over how many seconds; fades."""

    spans: float = 0.0
    requests: float = 0.0
    seconds: float = 0.0

    def fade(self, by: float) -> None:
        """Lose weight."""
        self.spans, self.requests, self.seconds = self.spans * by, self.requests * by, self.seconds * by


@dataclass(slots=True)
class ServiceCounts:
    """Requests by spans and by metrics. `width_ns` is that of a window; windows are numbers."""

    width_ns: int
    spans: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    """By window: requests, failed ones, variance."""
    requests: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    """The same of metrics, spread over windows."""
    ends: list[int] = field(default_factory=list)
    """When intervals ended, in order."""
    lengths: list[int] = field(default_factory=list)
    """The latest intervals' lengths."""
    past: PastShare = field(default_factory=PastShare)
    newest: int = 0
    """The last window of spans."""
    compared: int = 0
    """The window up to which spans and metrics were compared."""
    agreed: int = 0
    """The last window from which on they agreed; 0: they do not."""
    other: bool = False
    """Whether a sampler keeps another share than it did."""
    rate: float = math.nan
    """Requests a second, by metrics, when they were last compared with spans."""
    failed: float = 0.0
    failures: float = 0.0
    """Failed requests by spans, and by metrics, since the rate became another; they fade."""

    @property
    def pace_ns(self) -> int:
        """How often metrics come; 0 if that is not known."""
        return max(self.lengths, default=0)

    @property
    def usual_share(self) -> float:
        """The share of requests that has spans where no sampler changed; NaN if it is not known, or metrics count only some requests."""
        past = self.past
        if past.requests < _KNOWN or past.seconds * SECOND < _MOST_OF * min(self.pace_ns, LONGEST_NS):
            return math.nan
        share = past.spans / past.requests
        return share if share <= _MORE else math.nan

    @property
    def usual_rate(self) -> float:
        """Requests a second, by metrics, that are usual."""
        return self.past.requests / self.past.seconds if self.past.seconds else math.nan

    @property
    def stands_for(self) -> float:
        """How many failures each kept one stands for: no less than itself. NaN: too few failed to tell."""
        if min(self.failed, self.failures) < _FEW_FAILURES and not self._tells_none:
            return math.nan
        return max(1.0, self.failures / self.failed)

    @property
    def _tells_none(self) -> bool:
        """Whether metrics don't say what failed."""
        return self.failed >= _FEW_FAILURES and self.failures < self.failed / 2

    def leapt(self) -> None:
        """The rate has become another: what failed is counted anew."""
        self.failed = self.failures = 0.0

    def is_other(self, now_ns: int) -> bool:
        """Whether a sampler does otherwise than before, by metrics that still come."""
        return self.other and self.goes_on(now_ns)

    def goes_on(self, now_ns: int) -> bool:
        """Whether metrics still come."""
        return self.pace_ns > 0 and now_ns - self.compared * self.width_ns <= 2 * self.pace_ns + PATIENCE_NS

    def is_quick(self, now_ns: int) -> bool:
        """Whether metrics come often, and still do."""
        return self.pace_ns <= QUICK_NS and self.goes_on(now_ns)

    def waited_for(self, since_ns: int, now_ns: int, *, few: bool) -> bool:
        """Whether metrics will have a say on a rate that is another since a time: soon, or where spans are too few, at all."""
        asked = 0 < self.pace_ns <= (LONGEST_NS if few else QUICK_NS)
        undecided = not (self.other or self.agrees(since_ns) or math.isnan(self.usual_share))
        return asked and undecided and now_ns - since_ns <= 2 * self.pace_ns + PATIENCE_NS

    def agrees(self, since_ns: int) -> bool:
        """Whether metrics say that the rate is another since a time, too."""
        return not self.other and self.agreed * self.width_ns >= since_ns

    def take_spans(self, window_ns: int, count: float, failed: float, variance: float) -> None:
        """Requests of a window. NaN: they are not known."""
        self.newest = window_ns // self.width_ns
        self.spans[self.newest] = count, failed, variance
        self._compare()

    def take_metrics(self, intervals: list[Interval]) -> None:
        """Intervals of one reading."""
        for begin_ns, end_ns, requests, failures in intervals:
            if not 0 < end_ns - begin_ns <= LONGEST_NS:
                continue
            first, last = begin_ns // self.width_ns, (end_ns - 1) // self.width_ns
            for window in range(first, last + 1):
                inside = min(end_ns, (window + 1) * self.width_ns) - max(begin_ns, window * self.width_ns)
                part = inside / (end_ns - begin_ns)
                count, failed, variance = self.requests.get(window, _NONE)
                self.requests[window] = (
                    count + part * requests,
                    failed + part * failures,
                    variance + requests * part * (1 - part),
                )
            insort(self.ends, end_ns)
            self.lengths = [*self.lengths, end_ns - begin_ns][-_PACES:]
        self._compare()
        self._forget()

    def _forget(self) -> None:
        newest = self.ends[-1] if self.ends else 0
        oldest = (newest - 3 * LONGEST_NS) // self.width_ns
        if len(self.requests) > 4 * LONGEST_NS // self.width_ns or len(self.ends) > 4 * _PACES * LONGEST_NS // SECOND:
            self.spans = {w: found for w, found in self.spans.items() if w >= oldest}
            self.requests = {w: found for w, found in self.requests.items() if w >= oldest}
            del self.ends[: bisect_left(self.ends, newest - 3 * LONGEST_NS)]

    def _until(self) -> int:
        """The window before which all metrics have come: where several come one after the other, of an interval before."""
        newest = self.ends[-1]
        between = bisect_left(self.ends, newest - self.width_ns + 1) - bisect_left(
            self.ends, newest - self.pace_ns + self.width_ns
        )
        return (newest - self.pace_ns if between > 0 else newest) // self.width_ns

    def _compare(self) -> None:
        if not self.ends or not self.spans:
            return
        until = self._until()
        if until - self.compared < _LEAST_NS // self.width_ns or self.newest < until - 1:
            return
        since = max(self.compared, min(self.spans) + 1, min(self.requests) + 1)
        begin = self._begin(until, max(min(self.spans), min(self.requests)) + 1)
        fresh = self._sums(since, until)
        self.compared = until
        if begin < until:
            self._judge(begin, until)
        self.failed, self.failures = self.failed + fresh[1], self.failures + fresh[4]
        by = 0.5 ** (max(0, until - since) * self.width_ns / _FADES_NS)
        self.failed, self.failures = self.failed * by, self.failures * by
        if self.agreed or math.isnan(self.usual_share):
            self.past.fade(by)
            self.past.spans += fresh[0]
            self.past.requests += fresh[3]
            self.past.seconds += max(0, until - since) * self.width_ns / SECOND

    def _begin(self, until: int, earliest: int) -> int:
        """From which window on there is enough to look at, at the end of an interval; `until` if there is not."""
        width_ns, requests = self.width_ns, 0.0
        shortest = max(_SHORTEST_NS, self.pace_ns) // width_ns
        for begin in range(until - 1, max(earliest, until - LONGEST_NS // width_ns) - 1, -1):
            requests += self.requests.get(begin, _NONE)[0]
            if until - begin >= shortest and requests >= _ENOUGH:
                at = bisect_left(self.ends, (begin - 1) * width_ns + 1)
                if at < len(self.ends) and self.ends[at] <= begin * width_ns:
                    return begin
        return until

    def _sums(self, begin: int, until: int, lag: int = 0) -> tuple[float, float, float, float, float, float]:
        """Of windows for which both are known: requests by spans (of `lag` windows before), failed ones, variance; the same by metrics,
        whose variance is that of the intervals cut in two."""
        found = [0.0] * 6
        edge = 0.0
        for window in range(begin, until):
            spans, requests = self.spans.get(window - lag), self.requests.get(window)
            if spans is None or requests is None or math.isnan(spans[0]):
                continue
            for i, number in enumerate((*spans, *requests)):
                found[i] += number
            edge = edge or requests[2]
        found[5] = edge + self.requests.get(until - 1, _NONE)[2]
        return found[0], found[1], found[2], found[3], found[4], found[5]

    def _judge(self, begin: int, until: int) -> None:
        """Whether a sampler does otherwise than before."""
        self.rate = self._sums(begin, until)[3] / ((until - begin) * self.width_ns / SECOND)
        if math.isnan(self.usual_share):
            return
        now = self._apart(begin, until, 0)
        self.agreed = begin if not now else 0
        lag = _LAG_NS // self.width_ns
        self.other = now != 0 and (begin - lag < min(self.spans) or self._apart(begin, until, lag) == now)

    def _apart(self, begin: int, until: int, lag: int) -> int:
        """Whether there are fewer (-1) or more (1) spans than requests account for, or as many as they may (0)."""
        spans, _, variance, requests, _, cut = self._sums(begin, until, lag)
        seconds, share = (until - begin) * self.width_ns / SECOND, self.usual_share
        usual, changed = share * self.usual_rate * seconds, requests - self.usual_rate * seconds
        moves = (0.0, changed, share * changed)
        might = usual + min(moves), usual + max(moves)
        nearest = min(max(spans, might[0]), might[1])
        chance = requests * share * max(0.0, 1 - share) + cut + self.rate * _JITTER_S
        chance += max(0.0, variance - spans) + usual**2 / max(self.past.spans, 1.0)
        leap = abs(math.log((spans + 1) / (nearest + 1))) > math.log(_LEAP)
        return (
            int(math.copysign(1, spans - nearest)) if leap and abs(spans - nearest) > _SIGMAS * math.sqrt(chance) else 0
        )

    def state(self) -> list[Any]:
        """For a snapshot."""
        past = [self.past.spans, self.past.requests, self.past.seconds]
        seen = [self.newest, self.compared, self.agreed, self.other, self.rate, self.failed, self.failures]
        return [self.width_ns, self.spans, self.requests, self.ends, self.lengths, past, seen]

    @classmethod
    def of(cls, state: list[Any]) -> ServiceCounts:
        """The counts of a snapshot."""
        width_ns, spans, requests, ends, lengths, past, seen = state
        by_window = [{int(w): (n, f, v) for w, (n, f, v) in table.items()} for table in (spans, requests)]
        return cls(width_ns, by_window[0], by_window[1], list(ends), list(lengths), PastShare(*past), *seen)
