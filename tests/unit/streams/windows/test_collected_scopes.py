"""What every collector does: environments and services of a message, what there is no room for, and who is told the time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from contracts.frames import Decoded, Resource
from contracts.frames.decoded import SpanBatch
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.collect import NAMES_QUIET_NS, Collector, Receipt
from streams.windows.collect_spans import SpanCollector, site_of
from streams.windows.rows import Origin
from tests.unit.streams.windows.support import CLIENT, CONSUMER, INTERNAL, MS, SERVER, T0, Span, decoded

NOW = Receipt(T0, T0)


def known(services: int = 1, partitions: int = 2) -> tuple[Collector, Counter[str]]:
    counters = Counter[str]()
    return Collector(IngestSettings(max_services=services), partitions, counters), counters


def of(*resources: tuple[str, str]) -> Decoded:
    return Decoded(resources=tuple(Resource(environment, service) for environment, service in resources))


def test_each_environment_of_a_message_has_the_numbers_of_its_own_services() -> None:
    collector, _ = known()
    one, other = collector.scopes(of(("prod", "cart"), ("stage", "web"), ("prod", "web")))
    assert (one.names.environment, one.numbers.tolist(), one.whole) == ("prod", [0, -2, 1], False)
    assert (other.names.environment, other.numbers.tolist(), other.whole) == ("stage", [-2, 0, -2], False)
    (alone,) = collector.scopes(of(("prod", "web"), ("prod", "cart")))
    assert (alone.numbers.tolist(), alone.whole, alone.names is one.names) == ([1, 0], True, True)


def test_records_of_whom_there_is_no_room_for_are_counted_by_why() -> None:
    collector, counters = known()
    resource, keep = np.array([0, 0, 5, 5, 5, 6], np.int32), np.array([True, True, True, True, False, True])
    message = of(*(("prod", f"s{n}") for n in range(6)), ("stage", "x"))
    collector.refused = frozenset({"stage"})
    scopes = collector.scopes(message)
    assert [s.numbers.tolist() for s in scopes] == [[0, 1, 2, 3, -1, -1, -2]], "names for four times the services"
    collector.over_limit(scopes, resource, keep)
    assert dict(counters) == {"environment_limit": 1, "service_limit": 2}
    collector.refused = frozenset()
    whole = collector.scopes(of(("prod", "s0"), ("prod", "s1")))
    collector.over_limit(whole, np.array([0, 1], np.int32), np.ones(2, np.bool_))
    assert dict(counters) == {"environment_limit": 1, "service_limit": 2}


def test_time_is_told_once_for_each_target_that_had_no_frame() -> None:
    collector, _ = known()
    collector.signal = "logs"
    collector.note("prod", np.array([T0 - SECOND, T0 - 2 * SECOND]), NOW)
    collector.note("stage", np.array([T0]), NOW)
    silent = Origin("", "otlp/0", 7, 0, False)
    assert (collector.news(silent), list(collector.heartbeats(silent, set()))) == ([], [])
    told = list(collector.heartbeats(Origin("", "otlp/0", 7, 0), {("prod", 1)}))
    assert [(e, t, f.watermark_ns, f.sequence, f.signal) for e, t, f in told] == [
        ("prod", 0, T0 - SECOND, 7, "logs"), ("stage", 0, T0, 7, "logs"), ("stage", 1, T0, 7, "logs"),
    ]  # fmt: skip
    assert list(collector.heartbeats(Origin("", "otlp/0", 8, 0), set())) == [], "it stands still"
    assert (collector.watermark("prod"), collector.watermark("nobody")) == (T0 - SECOND, 0)
    again, _ = known()
    again.scopes(of(("old", "x")))
    again.load_base(collector.base_state())
    assert (again.base_state(), list(again.names)) == (collector.base_state(), [])
    again.load_base({"names": {}})
    assert again.marks == {}


def test_names_that_nobody_used_of_late_make_room() -> None:
    collector, counters = known(services=25)
    collector.now_ns = T0
    collector.scopes(of(*(("prod", f"s{n}") for n in range(100))))
    collector.make_room()
    assert counters["names_left"] == 0, "they were used just now"
    collector.now_ns = T0 + NAMES_QUIET_NS + SECOND
    collector.scopes(of(("prod", "s1")))
    collector.make_room()
    assert counters["names_left"] > 0
    assert collector.names_of("prod").now_ns == T0 + NAMES_QUIET_NS + SECOND
    collector.now_ns = T0
    assert collector.names_of("prod").now_ns == T0 + NAMES_QUIET_NS + SECOND, "it never goes back"
    collector.forget("prod")
    assert collector.names == {}


def spans(counters: Counter[str]) -> SpanCollector:
    return SpanCollector(IngestSettings(), 1, counters)


def test_a_flush_has_requests_calls_frames_to_be_joined_and_the_time() -> None:
    counters = Counter[str]()
    collector = spans(counters)
    collector.add(Decoded(), NOW)
    message = decoded(
        [
            Span("cart", 5, 1, 9, SERVER, T0 - 9 * MS, T0),
            Span("cart", 5, 2, 1, CLIENT, T0 - 8 * MS, T0, True, peer="db:x"),
            Span("cart", 5, 3, 1, CLIENT, T0 - 8 * MS, T0, False, peer="db:y"),
            Span("cart", 5, 4, 1, INTERNAL, T0 - 8 * MS, T0, True),
        ]
    )
    collector.add(
        replace(message, spans=replace(message.spans, resource=np.zeros(0, np.int32), span=np.zeros(0, np.uint64))), NOW
    )
    assert (collector.pending.rows, collector.marks) == (0, {})
    collector.add(message, NOW)
    partials, frames = collector.flush(Origin("", "otlp/0", 1, 0))
    by_signal = {f.signal: f for _, _, f in partials if len(f.window_ns)}
    assert (by_signal["spans"].count.tolist(), by_signal["spans"].watermark_ns) == ([1], T0)
    assert sorted(by_signal["edges"].count.tolist()) == [1, 1]
    ((environment, partition, frame),) = frames
    assert (environment, partition, len(frame.span), frame.watermark_ns) == ("prod", 0, 4, T0)
    assert collector.flush(Origin("", "otlp/0", 2, 0)) == ([], []), "nothing came since"
    collector.add(decoded([Span("cart", 6, 0, 9, SERVER, T0, T0 + MS)]), Receipt(T0 + MS, T0 + MS))
    partials, frames = collector.flush(Origin("", "otlp/0", 3, 0))
    assert [(f.watermark_ns, len(f.span)) for _, _, f in frames] == [(T0 + MS, 0)], "what has no id can't be joined"
    assert counters["spans"] == 5


@pytest.mark.parametrize(("ahead_s", "rows"), [(59, 1), (61, 0)])
def test_links_are_taken_up_to_the_longest_delay_ahead(ahead_s: int, rows: int) -> None:
    collector = SpanCollector(IngestSettings(max_delay_s=60), 1, Counter())
    message = decoded([Span("cart", 5, 1, 9, SERVER, T0 - 9 * MS, T0)])
    link = decoded([Span("cart", 7, 1, 8, CONSUMER, T0, T0 + ahead_s * SECOND)]).spans
    collector.add(replace(message, linked=link), NOW)
    assert collector.linked.rows == rows
    _, frames = collector.flush(Origin("", "otlp/0", 1, 0))
    assert sum(len(f.span) for _, _, f in frames) == 1 + rows
    assert collector.linked.rows == 0


def compared(kind: int, parent: int, **columns: np.ndarray) -> tuple[int, bool, bool]:
    """Of one span that lasted for three seconds: its route, whether it is untimed, and whether it was cut."""
    collector = spans(Counter())
    batch: SpanBatch = replace(
        decoded([Span("cart", 5, 1, parent, kind, T0 - 31 * SECOND, T0, True, name="GET /")]).spans,
        **columns,
    )
    names = collector.names_of("prod")
    ends = np.array([names.number("cart")]), np.array([-1])
    found = collector._compared(names, ends, (batch, slice(None)), ("", "GET /"))
    return int(found.route[0]), bool(found.untimed[0]), bool(found.cut[0])


def test_requests_have_routes_and_other_spans_have_none() -> None:
    for kind, parent in ((SERVER, 9), (CONSUMER, 9), (INTERNAL, 0), (CLIENT, 0), (SERVER, 0)):
        assert compared(kind, parent) == (0, True, True), "it lasts longer than anybody waits"
    for kind, parent in ((INTERNAL, 9), (CLIENT, 9)):
        assert compared(kind, parent) == (-1, False, False)
    assert compared(SERVER, 9, stream=np.array([True])) == (-1, False, False)
    assert compared(SERVER, 9, untimed=np.array([True])) == (-1, True, False)
    assert site_of("GET /") == site_of("GET /") != site_of("GET /x")
    assert 2**56 < site_of("GET /") < 2**64
