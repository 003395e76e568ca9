"""Sums by operation merge exactly in any order, once, and of services with several operations alone."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from connectors.otlp.decode import decode
from contracts.features import OPERATIONS
from contracts.frames import Decoded, PartialFrame
from contracts.settings import IngestSettings
from contracts.topics import OTLP_SPANS
from contracts.units import SECOND
from streams.windows.collect import Receipt
from streams.windows.collect_spans import SpanCollector
from streams.windows.names import Names
from streams.windows.operations import LATE_NS, OTHER, WIDTH_NS, OperationMerge, operation_frames
from streams.windows.routes import ROUTES_PER_SERVICE, Routes
from streams.windows.rows import Origin
from tests.unit.streams.windows.support import CLIENT, INTERNAL, MS, SERVER, T0, Span, decoded

BEGIN = T0 - T0 % WIDTH_NS
NAMES = ("", "GET /", "POST /buy", "GET /search")
Request = tuple[int, int, bool]
"""Seconds from the beginning, which of NAMES, whether it failed."""


def message(requests: list[Request], first: int) -> Decoded:
    spans = [
        Span("shop", first + i, first + i, 0, SERVER, BEGIN + s * SECOND, BEGIN + s * SECOND + 9 * MS, bad)
        for i, (s, _, bad) in enumerate(requests)
    ]
    found = decoded(spans)
    assert found.spans is not None
    names = np.array([name for _, name, _ in requests], np.int32)
    return dataclasses.replace(found, strings=NAMES, spans=dataclasses.replace(found.spans, name=names))


def partials(requests: list[Request], sizes: list[int]) -> list[PartialFrame]:
    """Frames of operations of requests that come in messages of such sizes, each flushed."""
    collector, found, first = SpanCollector(IngestSettings(), 1, Counter()), [], 1
    for number, size in enumerate([*sizes, len(requests)], start=1):
        some, requests = requests[:size], requests[size:]
        if some:
            collector.add(message(some, first), Receipt(BEGIN + 60 * SECOND, BEGIN + 60 * SECOND))
            first += len(some)
            found += [f for _, _, f in collector.flush(Origin("", "otlp/0", number, 0))[0] if f.signal == OPERATIONS]
    return found


def sums(frames: list[PartialFrame]) -> dict[tuple[int, str], tuple[float, float]]:
    merge = OperationMerge("prod", 0)
    for frame in frames:
        merge.add(frame)
    over = merge.advance(BEGIN + 1000 * SECOND)
    return {(f.window_ns, f.peers[i]): (f.values[i, 0], f.values[i, 1]) for f in over for i in range(len(f.services))}


BOTH = [(0, 1, False), (0, 2, False)]
"""So that the service is known for several operations from the first flush on."""


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 3), st.booleans()), max_size=40),
    st.lists(st.integers(1, 9), max_size=6),
)
def test_how_messages_were_cut_and_in_which_order_they_came_changes_nothing(requests: list[Request], sizes: list[int]):
    requests = [*BOTH, *requests]
    expected: Counter[tuple[int, str]] = Counter()
    failed: Counter[tuple[int, str]] = Counter()
    for second, name, bad in requests:
        key = BEGIN + (second * SECOND + 9 * MS) // WIDTH_NS * WIDTH_NS, NAMES[name]
        expected[key] += 1
        failed[key] += bad
    frames = partials(requests, [2, *sizes])
    whole = {key: (n, failed[key]) for key, n in expected.items()}
    assert sums(frames) == whole
    assert sums([f for f in frames for _ in range(2)]) == whole, "a redelivery counts once"


def test_a_service_of_one_operation_has_none():
    assert partials([(0, 1, False)] * 9, []) == []


def test_what_comes_after_its_window_is_counted_as_late_and_a_snapshot_keeps_the_rest():
    early, late = partials([*BOTH, (1, 1, False), (2, 2, True), (8, 1, False)], [2, 2])[1:]
    merge = OperationMerge("prod", 0)
    merge.add(early)
    again = OperationMerge("prod", 0)
    again.load(merge.state())
    assert again.advance(BEGIN + WIDTH_NS + LATE_NS - 1) == []
    (told,) = again.advance(BEGIN + WIDTH_NS + LATE_NS)
    assert told.counts.sum() == 2
    again.add(dataclasses.replace(early, source="otlp/1"))
    assert again.late == 2
    again.add(late)
    (told,) = again.advance(BEGIN + 2 * WIDTH_NS + LATE_NS)
    assert told.counts.tolist() == [1]


PG = {"db.system.name": "postgresql", "db.namespace": "shop"}
Asked = tuple[str, str, str, bool]
"""Who asks, what the statement is, of which table, and whether it failed."""


def otlp_of(asked: list[Asked], first: int = 1, parents: bool = True) -> bytes:
    """A message of requests, each of which asks a database once."""
    message = TracesData()
    for i, (caller, operation, table, failed) in enumerate(asked, start=first):
        entry = message.resource_spans.add()
        entry.resource.attributes.add(key="service.name").value.string_value = caller
        span = entry.scope_spans.add().spans.add(
            trace_id=i.to_bytes(16, "big"), span_id=i.to_bytes(8, "big"), kind=CLIENT, name="query",
            start_time_unix_nano=BEGIN, end_time_unix_nano=BEGIN + 9 * MS,
        )  # fmt: skip
        if parents:
            span.parent_span_id = (i << 20).to_bytes(8, "big")
        span.status.code = 2 if failed else 0
        for key, text in {**PG, "db.operation.name": operation, "db.collection.name": table}.items():
            span.attributes.add(key=key).value.string_value = text
    return message.SerializeToString()


def told_of(*messages: bytes, **settings: int) -> dict[tuple[str, str], tuple[float, float]]:
    """Requests and failures by service and operation."""
    collector, merge = SpanCollector(IngestSettings(**settings), 1, Counter()), OperationMerge("", 0)
    for number, payload in enumerate(messages, start=1):
        collector.add(decode(OTLP_SPANS, payload), Receipt(BEGIN + 60 * SECOND, BEGIN + 60 * SECOND))
        for _, _, frame in collector.flush(Origin("", "otlp/0", number, 0))[0]:
            if frame.signal == OPERATIONS:
                merge.add(frame)
    over = merge.advance(BEGIN + 1000 * SECOND)
    return {(f.services[i], f.peers[i]): (f.values[i, 0], f.values[i, 1]) for f in over for i in range(len(f.services))}


def test_statements_are_operations_of_their_database_by_who_asks():
    asked = [("cart", "SELECT", "carts", False), ("checkout", "SELECT", "orders", False)]
    asked += [("checkout", "SELECT", "orders", True), ("cart", "SELECT", "orders", False)]
    expected = {
        ("db:postgresql/shop", "SELECT carts (cart)"): (1, 0),
        ("db:postgresql/shop", "SELECT orders (checkout)"): (2, 1),
        ("db:postgresql/shop", "SELECT orders (cart)"): (1, 0),
    }
    assert told_of(otlp_of(asked)) == expected
    assert told_of(otlp_of(asked), otlp_of(asked)) == expected, "a redelivery counts once"
    assert told_of(otlp_of(asked, parents=False)) == expected, "whoever asks may serve nothing"


def test_a_database_of_many_statements_has_room_for_some():
    many = [("cart", "SELECT", "t" + "abcdefghij"[i % 10] * (1 + i // 10), False) for i in range(300)]
    assert 0 < len(told_of(otlp_of(many))) <= ROUTES_PER_SERVICE + 1


def test_streams_and_what_is_no_request_are_no_operations() -> None:
    """How long a stream lasts is its user's choice; an inner span is a part of a request that counts already."""
    requests = message([*BOTH, (0, 1, True), (0, 2, False)], 1)
    assert requests.spans is not None
    kinds = np.array([SERVER, SERVER, SERVER, INTERNAL], np.int8)
    spans = dataclasses.replace(
        requests.spans,
        kind=kinds,
        parent=np.array([0, 0, 0, 9], np.uint64),
        stream=np.array([False, False, True, False]),
    )
    for stream, expected in ((spans.stream, 1), (np.zeros(4, np.bool_), 2)):
        collector = SpanCollector(IngestSettings(), 1, Counter())
        said = dataclasses.replace(
            requests, spans=dataclasses.replace(spans, stream=stream, end_ns=spans.end_ns + SECOND)
        )
        collector.add(said, Receipt(BEGIN + 60 * SECOND, BEGIN + 60 * SECOND))
        frames = [f for _, _, f in collector.flush(Origin("", "otlp/0", 1, 0))[0] if f.signal == OPERATIONS]
        assert sums(frames) == {(BEGIN, "GET /"): (expected, expected - 1), (BEGIN, "POST /buy"): (1, 0)}


def test_an_operation_is_told_with_all_its_sums() -> None:
    """Those of its own and those of its routes, of whatever frames they came in."""
    merge, whole = OperationMerge("prod", 3), Counter[tuple[int, str, str]]()
    frames = partials([(n // 8, 1 + n % 2, n % 5 == 0) for n in range(400)], [2, 200, 100])
    for frame in frames:
        merge.add(frame)
        assert frame.watermark_ns == 0, "of time other frames tell"
        for row, (service, peer) in enumerate(zip(frame.service, frame.peer, strict=True)):
            assert frame.services[service] == "shop"
            for name in ("count", "errors", "known", "level", "pace", "duration_ns"):
                key = int(frame.window_ns[row]), frame.services[peer], name
                whole[key] += int(getattr(frame, name)[row])
    [*told] = merge.advance(BEGIN + 1000 * SECOND)
    assert [f.window_ns for f in told] == sorted({window for window, *_ in whole})
    assert len(told) > 3
    for frame in told:
        assert (frame.environment, frame.partition, frame.services, frame.revision) == ("prod", 3, ("shop", "shop"), 0)
        assert frame.peers == ("GET /", "POST /buy")
        for operation, values, count in zip(frame.peers, frame.values, frame.counts, strict=True):
            sums = [
                whole[frame.window_ns, operation, n]
                for n in ("count", "errors", "known", "level", "pace", "duration_ns")
            ]
            assert values.tolist() == [*sums[:3], *(n / 1000 for n in sums[3:])]
            assert count == sums[0]
    assert told[-1].values[:, [2, 3, 5]].all(), "its routes are known by then"


def test_each_route_of_each_service_has_its_own_sums_and_what_has_no_room_another() -> None:
    """As many routes as slots, the last of a service beside the first of the next."""
    names, routes = Names("prod", 2, 10), Routes(1000, Counter())
    asked = [("cart", f"GET /{chr(97 + i // 26)}{chr(97 + i % 26)}") for i in range(60)] + [
        ("web", f"GET /w{c}") for c in "abcd"
    ]
    which, end = np.arange(64), np.full(64, BEGIN)
    slots = routes.compare(asked, which, end, np.full(64, 9 * MS)).route
    assert (sorted(slots.tolist()), routes.slots) == (list(range(64)), 64)
    numbers = np.array([names.number(service) for service, _ in asked])
    service, slot = np.append(numbers, [0, 1]), np.append(slots, [-1, -1])
    sums = tuple(np.arange(1, 67) * (n + 1) for n in range(6))
    told = dict[tuple[str, str], list[int]]()
    for _, frame in operation_frames(
        Origin("prod", "s/0", 1, 1), names, routes, (np.full(66, BEGIN), service, slot), sums
    ):
        columns = (frame.count, frame.errors, frame.known, frame.level, frame.pace, frame.duration_ns)
        for i, (s, o) in enumerate(zip(frame.service.tolist(), frame.peer.tolist(), strict=True)):
            told[frame.services[s], frame.services[o]] = [int(c[i]) for c in columns]
    keys = [*asked, ("cart", OTHER), ("web", OTHER)]
    assert told == {key: [(i + 1) * (n + 1) for n in range(6)] for i, key in enumerate(keys)}
