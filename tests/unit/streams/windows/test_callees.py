"""Edges by whom callers mean: the same service is one callee, whatever its callers call, and each call counts once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from contracts.features import BY_SIGNAL, CALL_ERROR_RATE, CALL_RATE, Signal
from contracts.frames import AddressFrame, FeatureFrame, pack, unpack
from contracts.ports import Record
from contracts.settings import load
from contracts.topics import ADDRESSES, FEATURES, OTLP_METRICS, OTLP_SPANS, PARTIALS, TOPICS
from contracts.units import MINUTE, SECOND
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline
from streams.windows.callees import JOINED_NS, Callees
from tests.unit.connectors.otlp.builders import fill, histogram, metrics, traces

T0 = 1_700_000_000 * SECOND
CLIENT, SERVER = 3, 2
STEP_NS = SECOND // 5
Row = tuple[str, str, str, int]
CART = [("cart", "shop", "cart", 0), ("10.96.0.1", "", "cart", 0), ("10.0.0.1", "", "cart", 0)]
REDIS = [("redis", "shop", "redis", 0), ("10.96.0.2", "", "redis", 0)]


def told(rows: Iterable[Row], time_ns: int = T0, *, part: int = 0, environment: str = "prod") -> AddressFrame:
    """Name, namespace, what it stands for, since when; callers run in the namespace shop."""
    rows = list(rows)
    return AddressFrame(
        environment=environment,
        part=part,
        time_ns=time_ns,
        names=tuple(r[0] for r in rows),
        namespaces=tuple(r[1] for r in rows),
        stands_for=tuple(r[2] for r in rows),
        objects=tuple("service/shop/x" for _ in rows),
        from_ns=np.array([r[3] for r in rows], np.int64),
        headless=np.zeros(len(rows), np.bool_),
        callers=("web",),
        homes=("shop",),
    )


class Shop:
    """Telemetry through the stages up to features, on one clock; calls and failures of web by callee."""

    def __init__(self) -> None:
        settings = load({"environment": "prod"})
        partitions = dict.fromkeys(TOPICS, 1)
        specs = [s for s in perceive_specs(settings, partitions) if s.name in ("ingest", "edges", "features")]
        self.pipeline = MemoryPipeline(specs, 1, self.on_message)
        self.now, self.number = T0, 0
        self.rows: dict[tuple[str, int], tuple[float, float]] = {}

    def on_message(self, record: Record) -> None:
        if record.topic != FEATURES:
            return
        frame = unpack(FeatureFrame, record.value)
        if frame.signal == Signal.EDGES:
            columns = BY_SIGNAL[Signal.EDGES]
            for caller, peer, values in zip(frame.services, frame.peers, frame.values, strict=True):
                assert caller == "web"
                rate, errors = (float(np.nan_to_num(values[columns.index(c)])) for c in (CALL_RATE, CALL_ERROR_RATE))
                self.rows[peer, frame.window_ns] = rate, rate * errors

    def calls(self, *, failed: bool = False, since: float = 0) -> Counter[str]:
        """By callee, of windows from so many seconds after the beginning."""
        found: Counter[str] = Counter()
        for (peer, window_ns), values in self.rows.items():
            if window_ns >= T0 + since * SECOND:
                found[peer] += round(values[failed])
        return +found

    def tell(self, *rows: Row, time_ns: int = 0) -> None:
        frame = told(rows, time_ns or self.now)
        self.pipeline.feed(ADDRESSES, pack(frame), self.now, key=b"prod/0")

    def passes(self, seconds: float) -> None:
        for _ in range(int(seconds * SECOND) // STEP_NS):
            self.now += STEP_NS
            self.pipeline.tick(self.now)

    def call(self, seconds: int, host: str, *, key: str = "server.address", by: str = "", code: int = 0) -> None:
        """Five calls a second to a host; answered by a service that sends spans of it, or by nobody."""
        for _ in range(seconds * 5):
            self.number += 1
            ids = {"trace_id": self.number.to_bytes(16, "big"), "span_id": self.number.to_bytes(8, "big")}
            times = {"start_time_unix_nano": self.now - 20_000_000, "end_time_unix_nano": self.now}
            span = {**ids, **times, "kind": CLIENT, "attributes": {key: host}, "code": code}
            sent = traces({"service.name": "web"}, span)
            if by:
                own = {**ids, "span_id": (self.number + (1 << 40)).to_bytes(8, "big"), "parent_span_id": ids["span_id"]}
                sent.resource_spans.extend(
                    traces({"service.name": by}, {**own, **times, "kind": SERVER}).resource_spans
                )
            self.pipeline.feed(OTLP_SPANS, sent.SerializeToString(), self.now)
            self.passes(0.2)


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("redis", "server.address"),
        ("redis.shop.svc.cluster.local", "net.peer.name"),
        ("10.96.0.2", "network.peer.address"),
    ],
)
def test_who_sends_no_spans_is_one_callee_by_every_name(host: str, key: str) -> None:
    shop = Shop()
    shop.tell(*CART, *REDIS)
    shop.call(20, host, key=key)
    shop.call(10, host, key=key, code=2)
    shop.passes(10)
    assert set(shop.calls()) == {"redis"}
    assert shop.calls(failed=True) == {"redis": 50}


def test_who_answers_for_itself_is_told_by_its_own_spans_and_each_call_once() -> None:
    shop = Shop()
    shop.tell(*CART, *REDIS)
    shop.call(20, "cart.shop", by="cart")
    shop.call(5, "10.96.0.1", by="cart")
    shop.call(5, "10.0.0.1", by="cart")
    shop.passes(10)
    assert shop.calls() == {"cart": 150}


def test_of_calls_that_are_never_answered_the_callers_view_is_told_under_one_name() -> None:
    """A pod that hangs has an address at which nobody has ever answered."""
    shop = Shop()
    shop.tell(*CART)
    shop.call(20, "10.96.0.1", by="cart")
    shop.call(30, "10.0.0.1", code=2)
    shop.passes(10)
    assert shop.calls()["cart"] == 100
    assert set(shop.calls()) == {"cart", "external:cart"}
    assert shop.calls(failed=True).keys() == {"external:cart"}


def test_a_name_that_callers_chose_is_no_address() -> None:
    shop = Shop()
    shop.tell(*CART, *REDIS)
    shop.call(20, "redis", key="peer.service")
    shop.passes(10)
    assert set(shop.calls()) == {"external:redis"}


def test_without_a_cluster_everything_is_called_as_before() -> None:
    shop = Shop()
    shop.call(20, "10.96.0.2")
    shop.passes(10)
    assert set(shop.calls()) == {"external:10.96.0.2"}


def test_another_environments_cluster_says_nothing_of_this_one() -> None:
    shop = Shop()
    shop.pipeline.feed(ADDRESSES, pack(told(REDIS, environment="staging")), shop.now, key=b"staging/0")
    shop.call(20, "10.96.0.2")
    shop.passes(10)
    assert set(shop.calls()) == {"external:10.96.0.2"}


def test_what_is_outside_by_the_clusters_word_is_called_so() -> None:
    shop = Shop()
    shop.tell(("bank", "shop", "external:api.bank.example", 0))
    shop.call(20, "bank")
    shop.call(5, "api.bank.example")
    shop.passes(10)
    assert set(shop.calls()) == {"external:api.bank.example"}


def test_an_address_that_changes_hands_is_each_ones_in_its_time() -> None:
    shop = Shop()
    shop.tell(("10.0.0.8", "", "redis", 0))
    shop.call(30, "10.0.0.8")
    handed_ns = shop.now
    shop.tell(("10.0.0.8", "", "memcached", handed_ns))
    shop.call(30, "10.0.0.8")
    shop.passes(10)
    times = [(peer.removeprefix("external:"), ns) for (peer, ns), (calls, _) in shop.rows.items() if calls]
    before, after = ({ns for peer, ns in times if peer == p} for p in ("redis", "memcached"))
    assert len(before) >= 15
    assert len(after) >= 15
    assert max(before) <= handed_ns <= min(after) + SECOND


def test_calls_that_metrics_tell_of_mean_the_same() -> None:
    shop = Shop()
    shop.tell(*REDIS)
    labels = {"client": "web", "server": "10.96.0.2", "connection_type": "virtual_node"}
    for i in range(1, 8):
        sent, scope = metrics({"service.name": "collector"})
        point = histogram(scope, "traces_service_graph_request_client", [50 * i, 0], [0.5], unit="s")
        point.start_time_unix_nano, point.time_unix_nano = T0, shop.now
        fill(point, labels)
        shop.pipeline.feed(OTLP_METRICS, sent.SerializeToString(), shop.now)
        shop.passes(5)
    assert set(shop.calls()) == {"redis"}
    assert shop.calls()["redis"] >= 50


def test_a_stage_goes_on_from_its_snapshot() -> None:
    shop = Shop()
    shop.tell(*CART)
    shop.call(20, "10.96.0.1", by="cart")
    shop.call(20, "10.0.0.1", code=2)
    (features,) = (i for i in shop.pipeline.host.instances.values() if i.spec.name == "features")
    stage: Any = features.spec.make(PARTIALS, 0)
    stage.restore(features.stage.snapshot())
    features.stage = stage
    shop.tell(*CART)
    shop.call(20, "10.0.0.1", code=2)
    shop.passes(10)
    assert set(shop.calls()) == {"cart", "external:cart"}


def test_who_answered_for_itself_may_do_so_no_longer() -> None:
    callees = Callees(100)
    callees.addresses.take(told(CART, T0))
    callees.joined([("web", "cart")], T0)
    say = callees.told_by_spans
    assert say("web", "external:10.96.0.1", T0) == "external:cart"
    assert say("web", "external:10.96.0.1", T0 + MINUTE) == "external:cart"
    later = T0 + JOINED_NS + MINUTE
    callees.addresses.take(told(CART, later))
    assert say("web", "external:10.96.0.1", later) == "cart"
    assert say("api", "external:10.96.0.1", later) == "cart", "it was never joined with that one's calls"
    assert say("cart", "external:10.96.0.1", later) == "external:10.96.0.1", "nobody is his own callee"


def test_what_is_remembered_of_pairs_is_bounded() -> None:
    callees = Callees(100)
    callees.addresses.take(told(REDIS, T0))
    for n in range(1000):
        callees.joined([(f"caller-{n}", "cart")], T0 + n)
        callees.told_by_spans(f"caller-{n}", "external:10.96.0.2", T0 + n)
    kept = callees.state()
    assert len(kept) <= 100
    assert ["caller-999", "cart", T0 + 999] in kept
    assert {time_ns for *_, time_ns in kept} == set(range(T0 + 1000 - len(kept), T0 + 1000)), "the latest stay"


def test_a_pair_answers_for_itself_for_a_day_since_it_was_last_joined() -> None:
    callees, say = Callees(100), Callees.told_by_spans
    callees.joined([("web", "cart")], T0)
    callees.joined([("web", "cart")], T0 - MINUTE)  # told late
    callees.addresses.take(told(CART, T0 + JOINED_NS))
    assert say(callees, "web", "external:10.96.0.1", T0 + JOINED_NS) == "external:cart"
    assert say(callees, "web", "external:10.96.0.1", T0 + JOINED_NS + 1) == "cart"
    again = Callees(100)
    again.joined([("web", "redis")], T0)
    again.load(callees.state())
    assert again.state() == [["web", "cart", T0]]


@pytest.mark.parametrize(
    ("host", "caller", "callee"),
    [
        ("cart", "web", "cart"),  # in the namespace that its caller runs in
        ("cart.other", "web", "basket"),
        ("cart.other.svc", "web", "basket"),
        ("cart", "guest", ""),  # of whom nobody knows where it runs: it may be either
        ("10.0.0.9", "guest", "basket"),
        ("redis", "guest", "redis"),
        ("nobody", "web", ""),
    ],
)
def test_a_name_means_what_it_does_where_its_caller_runs(host: str, caller: str, callee: str) -> None:
    callees = Callees(100)
    callees.addresses.take(told([*CART, *REDIS, ("cart", "other", "basket", 0), ("10.0.0.9", "", "basket", 0)]))
    assert callees.addresses.stands_for(caller, f"external:{host}", T0) == callee


def test_of_pairs_joined_at_the_same_time_those_first_by_name_are_remembered_in_whatever_order_they_came() -> None:
    for pairs in ([("a", "x"), ("b", "x"), ("c", "x")], [("c", "x"), ("b", "x"), ("a", "x")]):
        callees = Callees(2)
        callees.joined(pairs, T0)
        assert callees.state() == [["a", "x", T0]]
