"""Which windows are looked at before their rows are due, when, and what is told of them."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.features import BY_SIGNAL, Signal
from contracts.frames import FeatureFrame, pack, unpack
from contracts.ports import Record
from contracts.settings import IngestSettings, Settings
from contracts.topics import FEATURES, PARTIALS
from contracts.units import SECOND
from streams.stages.features import FeatureStage
from streams.windows.collect import Receipt
from streams.windows.partials import PartialBuilder
from tests.unit.streams.windows.support import MS, SERVER, T0, Span, decoded

RATE, ERRORS, P50 = (BY_SIGNAL[Signal.SPANS].index(n) for n in ("request_rate", "error_rate", "latency_p50"))
_ids = iter(range(1, 1 << 40))


class Life:
    """A service that is asked `rate` times a second, told of every tenth of a second; frames with the second they came in."""

    def __init__(self, settings: IngestSettings | None = None) -> None:
        given = settings or IngestSettings()
        self.stage = FeatureStage(0, Settings(ingest=given))
        self.builder = PartialBuilder("otlp/0", given, 1)
        self.now, self.sent = T0, 0
        self.frames: list[tuple[float, FeatureFrame]] = []

    def go(self, seconds: float, rate: int = 40, *, fails: float = 0.0, service: str = "cart") -> None:
        for _ in range(round(seconds * 10)):
            self.now += 100 * MS
            each = range(rate // 10)
            ends = [self.now - 100 * MS + (i + 1) * 100 * MS // len(each) for i in each]
            spans = [
                Span(service, next(_ids), next(_ids), 0, SERVER, e - 10 * MS, e, error=i < fails * len(each))
                for i, e in enumerate(ends)
            ]
            if spans:
                self.builder.add(decoded(spans), Receipt(self.now, self.now), self.sent)
            for _, _, frame in self.builder.flush().partials:
                self.sent += 1
                record = Record(PARTIALS, 0, self.sent, None, pack(frame), (), self.now // MS)
                self._take(self.stage.handle(record, self.now))
            self._take(self.stage.tick(self.now))

    def _take(self, outputs) -> None:
        told = [unpack(FeatureFrame, o.value) for o in outputs if o.topic == FEATURES]
        self.frames += [((self.now - T0) / SECOND, f) for f in told if f.signal == Signal.SPANS]

    def looks(self, since: float) -> list[tuple[float, float, int]]:
        """Of early looks: when, at which window, and how many requests it had by then."""
        found = [(t, f) for t, f in self.frames if f.glimpse and t > since]
        return [(t, (f.window_ns - T0) / SECOND, int(f.counts[0])) for t, f in found]


def test_a_busy_window_is_looked_at_by_half_and_by_its_end_before_its_row_comes():
    life = Life()
    life.go(40)
    looks = [(round(t - w, 1), n) for t, w, n in life.looks(since=35.0)]
    assert {at for at, _ in looks} == {0.5, 1.0}
    assert all(abs(n - 40 * at) <= 1 for at, n in looks)
    rows = {f.window_ns: t - (f.window_ns - T0) / SECOND for t, f in life.frames if f.revision == 0}
    assert all(round(late, 1) >= 1.1 for late in rows.values())


def test_it_tells_what_has_come_and_not_how_many_there_will_be():
    life = Life()
    life.go(40)
    life.go(1, fails=0.25)
    look = next(f for t, f in life.frames if f.glimpse and t > 40.4)
    assert np.isnan(look.values[0, RATE])
    assert look.values[0, ERRORS] == pytest.approx(0.25, abs=0.02)
    assert look.values[0, P50] == pytest.approx(0.01, rel=0.1)
    assert (look.services, look.versions) == (("cart",), ("1.0",))
    row = next(f for _, f in life.frames if f.revision == 0 and f.window_ns == T0 + 39 * SECOND)
    assert row.values[0, RATE] == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("rate", "least", "parts"), [(40, 30, {1.0}), (20, 8, {0.5, 1.0}), (10, 8, {1.0}), (40, 0, set())]
)
def test_enough_must_have_come(rate: int, least: int, parts: set[float]):
    life = Life(IngestSettings(glimpse_requests=least))
    life.go(40, rate)
    assert {round(t - w, 1) for t, w, _ in life.looks(since=30.0)} == parts


def test_where_fewer_came_than_usual_nothing_is_said_early():
    life = Life()
    life.go(60, 60)
    life.go(5, 20)
    assert not life.looks(since=61.2)


def test_a_jump_of_time_is_looked_at_once():
    life = Life()
    life.go(40)
    before = len(life.frames)
    life.now += 30 * SECOND
    life.go(0.2)
    assert len([1 for _, f in life.frames[before:] if f.glimpse]) <= 2
