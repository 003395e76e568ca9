"""Spans as they are collected: whose clock is in question, what came before, who serves behind a proxy, what is forgotten."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contracts.frames import Decoded
from contracts.frames.decoded import PROXY_ANSWERED, PROXY_PASSED
from contracts.settings import IngestSettings
from contracts.units import MINUTE, SECOND
from streams.windows.clocks import Tag, Tags
from streams.windows.collect import Collector, EnvironmentPart, Pending, Receipt, TimeMark
from streams.windows.collect_spans import OWN_NS, SpanCollector, _peers, _sites, site_of
from streams.windows.names import Names
from streams.windows.pending_spans import PendingSpans
from streams.windows.routes import Routes
from streams.windows.rows import Origin
from streams.windows.span_partials import _owners
from tests.unit.streams.windows.support import CLIENT, INTERNAL, MS, SERVER, T0, Span, decoded

ONE, TWO = Tag("web\x1f1", -MS, 0), Tag("cart\x1f1", 0, SECOND)


def collector(counters: Counter[str] | None = None) -> SpanCollector:
    return SpanCollector(IngestSettings(), 1, Counter() if counters is None else counters)


def served(service: str, number: int, end: int = T0, kind: int = SERVER, parent: int = 0) -> Span:
    return Span(service, number, number, parent, kind, end - 5 * MS, end)


def told(of: SpanCollector, message: Decoded, now: int = T0 + SECOND) -> None:
    of.add(message, Receipt(now, now))


def with_batch(message: Decoded, **columns: Any) -> Decoded:
    assert message.spans is not None
    return replace(message, spans=replace(message.spans, **columns))


def test_resources_whose_clocks_are_in_question_have_their_numbers_and_others_none() -> None:
    spans = collector()
    tags = Tags(np.array([1, -1, 0], np.int32), (ONE, TWO))
    assert spans._clocks_of(tags, 3).tolist() == [1, -1, 0]
    later = Tags(np.array([0, -1], np.int32), (TWO,))
    assert spans._clocks_of(later, 2).tolist() == [1, -1], "it has a number since the last flush"
    assert spans._clocks_of(None, 2).tolist() == [-1, -1]
    assert spans._clocks_of(Tags(np.array([-1], np.int32), ()), 1).tolist() == [-1]
    assert spans.clocks == {ONE: 0, TWO: 1}


def test_spans_that_came_before_are_counted_and_left_out_in_whichever_message_they_come() -> None:
    counters = Counter[str]()
    spans = collector(counters)
    told(spans, decoded([served("cart", n) for n in (1, 2, 2)]))
    told(spans, decoded([served("cart", 1), replace(served("cart", 3), span=0), replace(served("cart", 3), span=0)]))
    spans.flush(Origin("", "otlp/0", 1, 0))
    assert (counters["spans"], counters["duplicates"]) == (4, 2), "those without an id can't be told apart"
    told(spans, decoded([served("cart", 1), served("cart", 4)]))
    again = collector(counters)
    again.load(spans.state())
    again.flush(Origin("", "otlp/0", 2, 0))
    assert (counters["spans"], counters["duplicates"]) == (5, 3)
    told(again, decoded([replace(served("cart", 4), kind=CLIENT), served("cart", 4)]))
    again.flush(Origin("", "otlp/0", 3, 0))
    assert (counters["spans"], counters["duplicates"]) == (6, 4), "a caller's half is none of the callee's"


def test_what_came_again_is_remembered_no_longer_than_what_came_once() -> None:
    spans = collector()
    told(spans, decoded([served("cart", 1)]))
    spans.flush(Origin("", "otlp/0", 1, 0))
    told(spans, decoded([served("cart", 1), served("cart", 2)]), T0 + SECOND)
    spans.flush(Origin("", "otlp/0", 2, 0))
    assert sum(len(keys) for keys, *_ in spans.state()["recent"]["prod"]) == 2


def test_of_an_environment_that_is_gone_nothing_is_left() -> None:
    spans = collector()
    message = with_batch(
        decoded([served("cart", 1), Span("cart", 2, 2, 1, CLIENT, T0 - MS, T0, peer="external:x")]),
        by_address=np.array([False, True]), proxy=np.zeros(2, np.int8),
    )  # fmt: skip
    told(spans, message)
    spans.flush(Origin("", "otlp/0", 1, 0))
    told(spans, with_batch(message, span=np.array([8, 9], np.uint64)))
    kept = {"recent", "hosts", "routes", "sampling", "applications", "names", "marks"}
    assert all("prod" in spans.state()[name] for name in kept)
    spans.forget("prod")
    spans.forget("prod")
    assert [name for name in kept if "prod" in spans.state()[name]] == []


def kinds(spans: SpanCollector, *told_: tuple[str, int, int], at: int = T0, kind: int = SERVER) -> list[int]:
    """Kinds of spans of services by what their proxy did, and how many seconds after a time they ended."""
    batch = decoded([served(name, n + 1, at + s * SECOND, kind) for n, (name, _, s) in enumerate(told_)])
    assert batch.spans is not None
    names = spans.names_of("prod")
    service = np.array([names.number(name) for name, *_ in told_], np.int64)
    proxy = np.array([p for _, p, _ in told_], np.int8)
    found = spans._kinds(names, service, replace(batch.spans, proxy=proxy), slice(None))
    return found.tolist()


def test_a_proxys_span_is_no_request_where_the_application_tells_of_it() -> None:
    spans = collector()
    assert kinds(spans, ("cart", PROXY_PASSED, 0), ("web", PROXY_PASSED, 0)) == [SERVER, SERVER]
    assert kinds(spans, ("cart", 0, 0), ("cart", PROXY_PASSED, 0), ("web", PROXY_PASSED, 0)) == [
        SERVER,
        INTERNAL,
        SERVER,
    ]
    assert kinds(spans, ("cart", PROXY_ANSWERED, 0), ("web", PROXY_ANSWERED, 0)) == [SERVER, SERVER]
    assert kinds(spans, ("cart", PROXY_PASSED, OWN_NS // SECOND - 1)) == [INTERNAL]
    assert kinds(spans, ("cart", PROXY_PASSED, OWN_NS // SECOND)) == [SERVER], "its own spans come no more"
    assert spans.applications == {"prod": {"cart": T0}}
    assert OWN_NS == 5 * MINUTE


def test_what_does_not_serve_says_nothing_of_who_serves() -> None:
    spans = collector()
    assert kinds(spans, ("cart", 0, 0), kind=CLIENT) == [CLIENT]
    assert kinds(spans, ("cart", PROXY_PASSED, 0), kind=CLIENT) == [CLIENT]
    assert spans.applications["prod"] == {}
    kinds(spans, ("cart", 0, 9), ("cart", 0, 3))
    kinds(spans, ("cart", 0, 3))
    assert spans.applications["prod"] == {"cart": T0 + 9 * SECOND}


def test_of_too_many_applications_all_are_learnt_anew() -> None:
    spans = collector()
    names = spans.names_of("prod")
    spans.applications["prod"] = {f"s{n}": T0 for n in range(names.most)}
    kinds(spans, ("s0", 0, 0))
    assert len(spans.applications["prod"]) == names.most
    kinds(spans, ("one more", 0, 0))
    assert spans.applications["prod"] == {}


def test_peers_that_are_known_by_an_address_are_told_where_calls_are_joined() -> None:
    spans, strings = collector(), ("", "external:10.0.0.1", "db:x")
    batch = decoded([served("cart", n) for n in (1, 2, 3)]).spans
    assert batch is not None
    batch = replace(batch, peer=np.array([1, 2, 0], np.int32))
    assert spans._named("prod", batch, slice(None), strings).tolist() == [1, 2, 0]
    assert spans.hosts == {}
    by_address = replace(batch, by_address=np.array([True, False, False]))
    assert spans._named("prod", by_address, slice(None), strings).tolist() == [0, 2, 0]
    assert spans._named("prod", by_address, np.array([1]), strings).tolist() == [2]
    assert spans.hosts == {"prod": {"external:10.0.0.1": None}}
    names = Names("prod", 1, 10)
    assert _peers(names, np.array([2, 0, 2], np.int32), strings).tolist() == [0, -1, 0]
    assert _peers(names, np.zeros(2, np.int32), strings).tolist() == [-1, -1]
    full = Names("prod", 1, 0)
    assert _peers(full, np.array([2], np.int32), strings).tolist() == [-1], "there is no room for it"


def test_sites_are_of_the_peer_or_of_the_name_of_calls_and_of_the_route_of_requests() -> None:
    strings = ("", "GET /items/1000001", "db:x", "GET /items/1000002")
    kind = np.array([CLIENT, CLIENT, SERVER, INTERNAL, INTERNAL], np.int8)
    batch = replace(
        decoded([served("cart", n) for n in range(1, 6)]).spans,
        kind=kind, name=np.array([1, 1, 3, 1, 3], np.int32), peer=np.array([2, 0, 2, 0, 0], np.int32),
        parent=np.array([9, 9, 9, 9, 0], np.uint64),
    )  # fmt: skip
    sites = _sites(batch, slice(None), kind, strings).tolist()
    assert sites[:1] == [site_of("db:x")]
    assert sites[1] == sites[2] == sites[4] != site_of("GET /items/1000001"), "what is generated is folded"
    assert sites[3] == 0


def test_a_statement_is_its_databases_whichever_number_that_has() -> None:
    names, routes = Names("prod", 1, 10), Routes(10, Counter())
    for name in ("db:x", "cart"):
        names.number(name)
    slots = routes.compare(
        [("db:x", "SELECT"), ("stranger", "SELECT")], np.array([0, 1]), np.full(2, T0), np.full(2, MS)
    ).route.tolist()
    full = Names("prod", 1, 2)
    for name in ("db:x", "cart"):
        full.number(name)
    columns: dict[str, Any] = {name: np.zeros(4, np.int64) for name in PendingSpans._fields}
    columns["service"] = np.full(4, 1)
    columns["kind"] = np.array([CLIENT, CLIENT, CLIENT, SERVER], np.int8)
    columns["route"] = np.array([slots[0], slots[1], -1, slots[0]], np.int32)
    spans = PendingSpans(**columns)
    assert _owners(full, routes, spans).tolist() == [0, 1, 1, 1], "of the second there is no room for the name"
    assert _owners(full, routes, spans.where(np.array([3, 3]))).tolist() == [1, 1]


def test_records_are_picked_where_they_belong() -> None:
    names, resource = Names("prod", 1, 10), np.array([0, 1, 2, 0], np.int32)
    part = EnvironmentPart(names, np.array([0, -1, 3]), False)
    keep = np.array([True, True, True, False])
    assert part.pick(resource, keep).tolist() == [0, 2]
    whole = EnvironmentPart(names, np.array([0, 1, 3]), True)
    assert whole.pick(resource, np.ones(4, np.bool_)) == slice(None)
    assert whole.pick(resource, keep).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("newest_s", "now_s", "received_s", "reached_s"),
    [
        (5, 8, 8, 5),
        (9, 8, 8, 8),  # never ahead of when it came
        (-90, 8, 8, -2),  # ten seconds behind that at most
        (5, 8, 6, 5),
        (7, 8, 6, 6),
    ],
)
def test_event_time_goes_as_far_as_the_time_of_receipt_confirms(
    newest_s: int, now_s: int, received_s: int, reached_s: int
) -> None:
    mark = TimeMark(T0 - 20 * SECOND, T0 - 20 * SECOND)
    mark.move(T0 + newest_s * SECOND, Receipt(T0 + now_s * SECOND, T0 + received_s * SECOND))
    assert (mark.reached_ns, mark.flushed_ns) == (T0 + reached_s * SECOND, T0 - 20 * SECOND)
    ahead = TimeMark(T0 + MINUTE, T0 + MINUTE)
    ahead.move(T0, Receipt(T0, T0))
    assert (ahead.reached_ns, ahead.flushed_ns) == (T0, T0), "what was ahead of the clock is not believed"


def test_what_is_ahead_of_the_clock_by_more_than_the_longest_delay_is_not_believed() -> None:
    counters = Counter[str]()
    known = Collector(IngestSettings(max_delay_s=10), 1, counters)
    times = T0 + np.array([-1, 0, 10 * SECOND, 10 * SECOND + 1])
    assert known.believable(times, Receipt(T0, T0)).tolist() == [True, True, True, False]
    assert known.believable(times[:3], Receipt(T0, T0)).all()
    assert (counters["future"], known.watermark("prod")) == (1, 0)
    known.note("prod", np.empty(0, np.int64), Receipt(T0, T0))
    assert known.marks == {}


def test_the_time_of_receipt_is_the_logs_where_it_has_one() -> None:
    now = T0 + 500 * MS
    assert Receipt.of(T0 // MS, now) == Receipt(now, T0 + 999_999)
    assert Receipt.of(0, now) == Receipt.of(-1, now) == Receipt(now, now)
    assert Receipt.of(1, now).time_ns == 1_999_999
    assert Receipt.of(now // MS + 9, now) == Receipt(now, now), "a producer may write what it likes"


def test_batches_are_put_end_to_end_by_environment() -> None:
    pending = Pending()
    for environment, numbers in (("b", [1, 2]), ("a", []), ("b", [3]), ("a", [4])):
        pending.add(environment, (np.array(numbers, np.int64), np.array(numbers, np.float64)))
    assert pending.rows == 4
    again = Pending()
    again.load(pending.state())
    for one in (pending, again):
        drained = [(e, [c.tolist() for c in columns]) for e, columns in one.drain()]
        assert drained == [("a", [[4], [4.0]]), ("b", [[1, 2, 3], [1.0, 2.0, 3.0]])]
        assert (one.rows, list(one.drain())) == (0, [])
