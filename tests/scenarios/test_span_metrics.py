"""Services of which nothing comes but metrics that were made of their spans: what they tell of is noticed and diagnosed as spans are."""

from __future__ import annotations

import functools
import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from contracts.features import CALL_RATE, METRIC_REQUEST_RATE, REQUEST_RATE, Signal
from contracts.frames import FeatureFrame, unpack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import FEATURES, OTLP_METRICS, TOPICS
from contracts.verdicts import IncidentPhase
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline
from tests.representatives import representatives
from tests.scenarios import traffic
from tests.scenarios.samplers import sent
from tests.scenarios.span_metrics import Spans, service_graph, span_metrics
from tests.scenarios.traffic import T0, Plan, Route, S, Shop, Trouble, through

SETTINGS = Settings(detect={"detectors": ("bank",)})
ILL = Plan(trouble={"payment": Trouble(fails=0.6)})
ONSET_S, END_S, EVERY_S = 240, 290, 5
PAIRS = {("gateway", "catalog"), ("gateway", "reco"), ("gateway", "checkout"), ("checkout", "payment")}
Telemetry = Iterator[tuple[int, bytes]]


class Rows:
    """The rows of features that were sent: rates by whom they are of, calls and requests by metrics and by spans, window by window."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        self.requests: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.served: dict[str, list[tuple[int, float]]] = defaultdict(list)

    def hear(self, record: Record) -> None:
        """Take a message."""
        if record.topic != FEATURES:
            return
        frame = unpack(FeatureFrame, record.value)
        if frame.signal == Signal.EDGES and not frame.revision:
            for pair, rate in zip(
                zip(frame.services, frame.peers, strict=True),
                frame.values[:, frame.features.index(CALL_RATE)].tolist(),
                strict=True,
            ):
                self.calls[pair].append((frame.window_ns, rate))
        if frame.signal in (Signal.METRICS, Signal.SPANS) and not frame.revision:
            name, told = (
                (METRIC_REQUEST_RATE, self.requests) if frame.signal == Signal.METRICS else (REQUEST_RATE, self.served)
            )
            rates = frame.values[:, frame.features.index(name)].tolist()
            for service, rate in zip(frame.services, rates, strict=True):
                told[service].append((frame.window_ns, rate))


@pytest.fixture
def longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics come every five seconds: it takes longer to know what is usual."""
    monkeypatch.setattr(traffic, "ONSET_S", ONSET_S)
    monkeypatch.setattr(traffic, "END_S", END_S)


def spans_of(plan: Plan) -> Spans:
    """What the metrics are made of."""
    return Shop(plan, 1).spans_by_end()


def merged(*sources: Iterable[tuple[Any, ...]]) -> Telemetry:
    """Messages of several senders by time."""
    return heapq.merge(*sources, key=lambda message: message[0])


WAYS = {
    "the Collector's connectors": lambda s: merged(span_metrics(s, EVERY_S), service_graph(s, EVERY_S)),
    "a service graph of Tempo alone": lambda s: service_graph(s, EVERY_S, tempo=True),
    "counters alone": lambda s: merged(
        span_metrics(s, EVERY_S, histograms=False), service_graph(s, EVERY_S, histograms=False)
    ),
}


@pytest.mark.slow
@pytest.mark.usefixtures("longer")
@pytest.mark.parametrize("way", representatives(WAYS, "the Collector's connectors"))
def test_an_outage_that_only_metrics_made_of_spans_tell_of_is_noticed_and_diagnosed(way: str) -> None:
    rows = Rows()
    found = through(WAYS[way](spans_of(ILL)), SETTINGS, OTLP_METRICS, rows.hear)
    opened = [(i.time_ns - T0) / S for i in found.incidents if i.phase is not IncidentPhase.RESOLVED]
    assert opened, found.told()
    assert ONSET_S < opened[0] < ONSET_S + 3 * EVERY_S, found.told()
    assert found.blamed == {"payment"}, found.told()
    assert rows.calls.keys() == PAIRS


@pytest.mark.slow
@pytest.mark.usefixtures("longer")
def test_a_shop_that_is_well_has_no_incident() -> None:
    found = through(WAYS["the Collector's connectors"](spans_of(Plan())), SETTINGS, OTLP_METRICS)
    assert not found.incidents, found.told()


def windows(telemetry: Iterable[tuple[int, bytes]]) -> Rows:
    """What comes of messages, up to features. What is on a topic says what it is."""
    rows, now_ns = Rows(), 0
    pipeline = MemoryPipeline(perceive_specs(SETTINGS, dict.fromkeys(TOPICS, 2))[:3], 2, rows.hear)
    for count, (at, payload, *_) in enumerate(telemetry):
        now_ns = now_ns or at
        while now_ns < at:
            now_ns = min(now_ns + S, at)
            pipeline.tick(now_ns)
        pipeline.feed(OTLP_METRICS, payload, now_ns, partition=count % 2)
    return rows


def _known(told: dict[Any, list[tuple[int, float]]], until_s: int) -> dict[Any, list[tuple[int, float]]]:
    """Rates of windows in which something came, but for the last few, of which not all has come."""
    until_ns = T0 + (until_s - 10) * S
    return {who: [(w, rate) for w, rate in rates if rate > 0 and w < until_ns] for who, rates in told.items()}


def test_nothing_is_counted_twice() -> None:
    """Not by two connectors, and not by spans and a connector."""
    spans = spans_of(Plan())
    plain = list(sent(spans))
    both = windows(merged(span_metrics(spans, EVERY_S), service_graph(spans, EVERY_S)))
    graph, alone = windows(service_graph(spans, EVERY_S)), windows(plain)
    everything = windows(merged(plain, span_metrics(spans, EVERY_S), service_graph(spans, EVERY_S)))
    one = windows(span_metrics(spans, EVERY_S))
    assert both.requests == one.requests
    assert graph.calls.keys() == PAIRS
    assert both.calls == graph.calls
    assert everything.requests.keys() == one.requests.keys()
    assert _known(everything.served, 80) == _known(alone.served, 80)
    assert _known(everything.calls, 80) == _known(alone.calls, 80)
    for pair, calls in alone.calls.items():
        rates = [rate for _, rate in graph.calls[pair]]
        counted = sum(rate for _, rate in calls) / len(calls)
        assert sum(rates) / len(rates) == pytest.approx(counted, rel=0.15)


def again(telemetry: Telemetry) -> Telemetry:
    """An exporter that did not hear that its messages arrived."""
    yield from merged(*zip(*(((at, m), (at + S, m)) for at, m in telemetry), strict=True))


BESIDE = {
    "each second, 5 s later": lambda s: span_metrics(s, 1, lag_s=5),
    "every 15 s, as differences that are sent again": lambda s: again(span_metrics(s, 15, delta=True)),
    "every minute": lambda s: span_metrics(s, 60, histograms=False),
    "of some routes": lambda s: span_metrics([x for x in s if x[2]["name"] != "GET /"], 5),
}
SMALL = Plan(usual=(Route("GET /", 4, 4, {"catalog": 1.0}), Route("POST /buy", 2, 4)))
UNTIL_S = 150


@functools.cache
def small_shop() -> tuple[Spans, Rows]:
    """Some minutes of a shop with few customers, and what comes of its spans alone."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(traffic, "END_S", UNTIL_S)
        spans = spans_of(SMALL)
    return spans, windows(sent(spans, UNTIL_S))


@pytest.mark.parametrize("way", representatives(BESIDE, "each second, 5 s later"))
def test_spans_tell_the_same_whatever_counts_them_besides(way: str) -> None:
    spans, alone = small_shop()
    beside = windows(merged(sent(spans, UNTIL_S), BESIDE[way](spans)))
    assert beside.requests
    assert _known(beside.served, UNTIL_S) == _known(alone.served, UNTIL_S)
    assert _known(beside.calls, UNTIL_S) == _known(alone.calls, UNTIL_S)
