"""A service that sends no spans passes calls on: its caller's calls are its own, and what it passes on is told as the calls that they are."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from contracts.events import EvidenceGap, TelemetryGaps, encode
from contracts.features import CALL_ERROR_RATE, CALL_LATENCY_P95, CALL_RATE, NETWORK_GAP, Signal
from contracts.frames import FeatureFrame, pack, unpack
from contracts.ports import Record
from contracts.settings import load
from contracts.topics import ADDRESSES, FEATURES, GAPS, OTLP_METRICS, OTLP_SPANS, TOPICS
from contracts.units import DAY, HOUR, MILLISECOND, SECOND
from contracts.verdicts import GapKind
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline
from streams.windows.silent_hops import SilentServices
from tests.unit.connectors.otlp.builders import fill, gauge, histogram, metrics, traces
from tests.unit.streams.windows.test_callees import Row, told

T0 = 1_700_000_000 * SECOND
MS = MILLISECOND
CLIENT, SERVER = 3, 2
KNOWN_S = 30
"""So long it takes until it is known of a service that it sends no spans."""
SOON_S = 6
Rows = dict[tuple[str, str], dict[str, float]]


class Street:
    """web calls what is at an address; whoever serves sends spans, `garnet` and others tell of their processor alone. On one clock."""

    def __init__(self, partitions: int = 1) -> None:
        specs = perceive_specs(load({"environment": "prod"}), dict.fromkeys(TOPICS, partitions))[:3]
        self.pipeline = MemoryPipeline(specs, partitions, self._hear)
        self.now, self.number, self.silent = T0, 0, ["garnet"]
        self.frames: list[FeatureFrame] = []

    def _hear(self, record: Record) -> None:
        if record.topic == FEATURES:
            frame = unpack(FeatureFrame, record.value)
            self.frames += [frame] if frame.signal == Signal.EDGES else []

    def is_known(self) -> None:
        """What takes a while is known from the beginning."""
        for service in self.silent:
            known = encode(gaps(service, GapKind.NO_SPANS))
            self.pipeline.feed(GAPS, known, self.now, key=f"prod/{service}".encode())

    def lives(self, seconds: int, *callees: str, host: str = "garnet", key: str = "server.address", **how: Any) -> None:
        """Five requests a second: each a call to a host, behind which each callee serves 10 ms of 50."""
        for tenth in range(seconds * 10):
            self.now += SECOND // 10
            if tenth % 10 == 0:
                for service in self.silent:
                    sent, scope = metrics({"service.name": service})
                    gauge(scope, "k8s.pod.cpu_limit_utilization", 0.2, time=self.now)
                    self.pipeline.feed(OTLP_METRICS, sent.SerializeToString(), self.now)
            if tenth % 2:
                self.calls(host, *callees, key=key, **how)
            self.pipeline.tick(self.now)

    def calls(
        self, host: str, *callees: str, key: str, web: str = "web", took_ms: int = 50, code: int = 0, late: bool = False
    ) -> None:
        self.number += 1
        end, trace = self.now, self.number.to_bytes(16, "big")

        def span(number: int, parent: int, kind: int, begin_ms: int, end_ms: int, **more: Any) -> dict[str, Any]:
            ids = {"trace_id": trace, "span_id": number.to_bytes(8, "big")}
            if parent:
                ids["parent_span_id"] = parent.to_bytes(8, "big")
            times = {"start_time_unix_nano": end - begin_ms * MS, "end_time_unix_nano": end - end_ms * MS}
            return {**ids, **times, "kind": kind, **more}

        call = span(2, 1, CLIENT, took_ms, 1, attributes={key: host}, code=code)
        own = traces({"service.name": web}, span(1, 0, SERVER, took_ms + 1, 0), call)
        served = [traces({"service.name": c}, span(3 + i, 2, SERVER, 20, 10)) for i, c in enumerate(callees)]
        for message in [*served, own] if not late else [own, *served]:
            self.pipeline.feed(OTLP_SPANS, message.SerializeToString(), self.now)
            if late:
                self.pipeline.tick(self.now)

    def rows(self, since_s: float = 0, until_s: float = 1e9) -> Rows:
        """By edge the sums of its calls and failures, and the means of the rest, of windows that began in that time."""
        values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        newest: dict[tuple[int, str, str], tuple[FeatureFrame, int]] = {}
        for frame in self.frames:
            if T0 + since_s * SECOND <= frame.window_ns < T0 + until_s * SECOND:
                newest |= {
                    (frame.window_ns, a, b): (frame, i)
                    for i, (a, b) in enumerate(zip(frame.services, frame.peers, strict=True))
                }
        for (_, *pair), (frame, i) in newest.items():
            for name, value in zip(frame.features, frame.values[i].tolist(), strict=True):
                values[pair[0], pair[1]][name] += [value] if np.isfinite(value) else []
        return {
            pair: {n: sum(v) / (1 if n == CALL_RATE else len(v) or np.nan) for n, v in found.items()}
            for pair, found in values.items()
        }


def gaps(service: str, *kinds: GapKind, at: int = T0) -> TelemetryGaps:
    found = tuple(EvidenceGap(service=service, kind=k, text="", certain=True) for k in kinds)
    return TelemetryGaps(environment="prod", service=service, time_ns=at, gaps=found)


def told_apart(street: Street, since_s: float) -> None:
    found = street.rows(since_s)
    assert set(found) == {("web", "garnet"), ("garnet", "opal")}
    asked, passed = found["web", "garnet"], found["garnet", "opal"]
    assert asked[CALL_RATE] == passed[CALL_RATE] > 0
    assert asked[CALL_LATENCY_P95] == pytest.approx(0.049, rel=0.1), "as its caller sees it"
    assert passed[CALL_LATENCY_P95] == pytest.approx(0.010, rel=0.1), "as whoever serves tells it"
    assert not np.isfinite([asked.get(NETWORK_GAP, np.nan), passed.get(NETWORK_GAP, np.nan)]).any()


@pytest.mark.parametrize("partitions", [1, 2])
@pytest.mark.parametrize("late", [False, True])
def test_the_calls_of_whoever_calls_a_silent_service_are_to_that_one(partitions: int, late: bool) -> None:
    street = Street(partitions)
    street.lives(KNOWN_S, "opal", late=late)
    assert set(street.rows()) >= {("web", "opal")}, "nobody knows yet who the address is"
    street.lives(20, "opal", late=late)
    told_apart(street, KNOWN_S + 5)


def test_it_is_told_once_however_many_it_asks_and_its_own_failures_are_its_own() -> None:
    street = Street()
    street.is_known()
    street.lives(SOON_S, "opal", "pine")
    street.lives(10, "opal", "pine")
    street.lives(10, code=2)
    found = street.rows(SOON_S + 5)
    assert set(found) == {("web", "garnet"), ("garnet", "opal"), ("garnet", "pine")}
    assert found["web", "garnet"][CALL_RATE] == pytest.approx(70, abs=5)
    assert street.rows(SOON_S + 12)["web", "garnet"][CALL_ERROR_RATE] == 1.0
    assert street.rows(SOON_S + 5)["garnet", "opal"][CALL_RATE] == found["garnet", "pine"][CALL_RATE]
    assert street.rows(SOON_S + 5)["garnet", "opal"][CALL_RATE] == pytest.approx(20, abs=5)


@pytest.mark.parametrize(
    ("host", "callee"),
    [
        ("frontend-proxy", "proxy"),
        ("shop.example.com", "opal"),
        ("garnet.example.com", "opal"),
        ("10.0.0.7", "opal"),
        ("garnet", "shop/garnet"),
        ("opal.garnet.svc", "opal"),
    ],
)
def test_an_address_that_is_nobody_elses_is_whoever_serves_there(host: str, callee: str) -> None:
    street = Street()
    street.is_known()
    street.lives(SOON_S + 15, callee, host=host)
    assert set(street.rows()) == {("web", callee)}


@pytest.mark.parametrize("host", ["garnet.shop", "garnet.shop.svc.cluster.local", "garnet.internal"])
def test_a_name_is_whose_it_is_for_its_caller(host: str) -> None:
    street = Street()
    street.silent = ["shop/garnet"]
    street.is_known()
    street.lives(SOON_S + 15, "opal", host=host)
    assert set(street.rows(SOON_S + 5)) == {("web", "shop/garnet"), ("shop/garnet", "opal")}


def test_of_several_of_a_name_the_callers_neighbour_is_meant_and_else_nobody() -> None:
    street = Street()
    street.silent = ["core/garnet", "batch/garnet"]
    street.is_known()
    for _ in range(SOON_S + 15):
        street.lives(1, "opal", web="core/web")
        street.calls("garnet", "pine", key="server.address", web="web")
    found = set(street.rows(SOON_S + 5))
    assert found == {("core/web", "core/garnet"), ("core/garnet", "opal"), ("web", "pine")}


def test_who_begins_to_send_spans_is_no_hop_any_more() -> None:
    street = Street()
    street.is_known()
    street.lives(SOON_S + 10, "opal")
    street.lives(1, "garnet")
    street.lives(10, "opal")
    assert set(street.rows(SOON_S + 5, SOON_S + 10)) == {("web", "garnet"), ("garnet", "opal")}
    assert street.rows(SOON_S + 15)["web", "opal"][CALL_RATE] > 20


def test_who_takes_over_knows_what_was_known() -> None:
    street = Street(2)
    street.is_known()
    street.lives(SOON_S + 10, "opal")
    for key, hosted in street.pipeline.host.instances.items():
        fresh = hosted.spec.make(OTLP_SPANS, int(key.rpartition("/")[2]))
        fresh.restore(hosted.stage.snapshot())
        hosted.stage = fresh
    street.silent = []
    street.lives(10, "opal")
    told_apart(street, SOON_S + 5)


def test_what_the_cluster_says_of_an_address_counts_more_than_its_name() -> None:
    street = Street()
    street.is_known()

    def tell(*rows: Row) -> None:
        street.pipeline.feed(ADDRESSES, pack(told(rows, street.now)), street.now, key=b"prod/0")

    street.lives(SOON_S, "opal")
    tell(("10.96.0.3", "", "garnet", 0), ("garnet", "shop", "opal", 0))
    street.lives(10, "opal")
    street.lives(10, "opal", host="10.96.0.3")
    direct, passed = street.rows(SOON_S + 2, SOON_S + 8), street.rows(SOON_S + 12, SOON_S + 18)
    assert {pair for pair, row in direct.items() if row[CALL_RATE]} == {("web", "opal")}
    assert {pair for pair, row in passed.items() if row[CALL_RATE]} == {("web", "garnet"), ("garnet", "opal")}


def test_what_it_tells_of_its_own_calls_is_told_beside() -> None:
    """By its metrics: whom it calls besides is known from nowhere else."""
    street = Street()
    street.is_known()
    street.lives(SOON_S + 5, "opal")
    for i in range(15):
        street.lives(1, "opal")
        sent, scope = metrics({"service.name": "garnet"})
        point = histogram(scope, "http.client.request.duration", [5 * (i + 1), 0], [0.5], unit="s")
        point.start_time_unix_nano, point.time_unix_nano = T0, street.now
        fill(point, {"server.address": "ledger"})
        street.pipeline.feed(OTLP_METRICS, sent.SerializeToString(), street.now)
    assert ("garnet", "external:ledger") in street.rows(SOON_S + 5)
    assert ("garnet", "opal") in street.rows(SOON_S + 5)


def test_who_is_silent_is_remembered_for_a_day_and_who_spoke_for_an_hour() -> None:
    known = SilentServices()
    known.told(gaps("garnet", GapKind.NO_SPANS))
    known.told(gaps("garnet", at=T0 + 1))
    assert known.at(T0 + DAY) == {"garnet"}, "that nothing is missing may mean that it is gone"
    assert not known.at(T0 + DAY + 1)
    known.spoke(("opal", "garnet"), T0 + 2)
    assert not known.at(T0 + 2 + HOUR)
    assert known.at(T0 + 3 + HOUR) == {"garnet"}
    known.told(gaps("garnet", GapKind.NO_LOGS, at=T0 + 3))
    assert not known


def test_what_is_told_before_anybody_calls_counts() -> None:
    street = Street()
    street.is_known()
    street.lives(8, "opal")
    assert set(street.rows(1)) == {("web", "garnet"), ("garnet", "opal")}
