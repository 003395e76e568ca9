"""What waits for a flush, and what of it is counted and told where spans are joined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.frames import Decoded, Resource, SpanBatch, SpanFrame
from contracts.settings import IngestSettings
from contracts.units import MINUTE, SECOND
from streams.windows.collect import EnvironmentPart, Receipt
from streams.windows.names import Names
from streams.windows.partials import PartialBuilder
from streams.windows.rows import UNIT, Events
from streams.windows.statements import asking
from tests.unit.streams.windows.support import CLIENT, CONSUMER, INTERNAL, MS, SERVER, T0, Span, decoded, logs, points

NOW = Receipt(T0, T0)


def message(*marks: str) -> Decoded:
    """A request for each: `stream`, `untimed`, `tenth` (it stands for ten), or as others are; of a trace of its own."""
    spans = [Span("cart", n, n, 0, SERVER, T0 - 10 * MS, T0) for n in range(1, len(marks) + 1)]
    found = decoded(spans)
    assert found.spans is not None
    columns = {
        "stream": np.array([m == "stream" for m in marks]),
        "untimed": np.array([m == "untimed" for m in marks]),
        "weight": np.array([10 * UNIT if m == "tenth" else UNIT for m in marks], np.int32),
    }
    return replace(found, spans=replace(found.spans, **columns))


def flushed(*messages: Decoded, partitions: int = 1) -> tuple[PartialBuilder, dict[int, SpanFrame]]:
    builder = PartialBuilder("otlp_spans/0", IngestSettings(), partitions)
    for offset, one in enumerate(messages):
        builder.add(one, NOW, offset)
    return builder, {partition: frame for _, partition, frame in builder.flush().spans}


def test_all_kinds_of_records_wait_until_they_are_flushed() -> None:
    builder = PartialBuilder("otlp_spans/0", IngestSettings(), 1)
    waiting = [builder.pending]
    for offset, one in enumerate(
        (
            message("", ""),
            logs([("cart", T0, 9, "a"), ("cart", T0, 9, "b"), ("web", T0, 9, "c")]),
            points([("cart", 2, 9, 1, T0 - SECOND, T0, 5.0)]),
            logs([("cart", T0 + 3600 * SECOND, 9, "from the future")]),
        )
    ):
        builder.add(one, NOW, offset)
        waiting.append(builder.pending)
    assert waiting == [0, 2, 5, 6, 6]
    again = PartialBuilder("otlp_spans/0", IngestSettings(), 1)
    again.restore(builder.snapshot())
    assert again.pending == 6
    for one in (builder, again):
        one.flush()
        assert one.pending == 0


def test_spans_that_are_like_no_others_are_counted() -> None:
    builder, _ = flushed(message("", "stream", "stream", "untimed", "tenth", "tenth", "tenth"))
    found = {name: builder.counters[name] for name in ("spans", "long_lived", "untimed", "sampled")}
    assert found == {"spans": 7, "long_lived": 2, "untimed": 1, "sampled": 3}
    builder, _ = flushed(message("", ""))
    assert {name for name, count in builder.counters.items() if count} == {"spans"}


@pytest.mark.parametrize(
    ("marks", "stream", "untimed", "weight"),
    [
        (("", ""), [], [], []),
        (("", "stream"), [False, True], [], []),
        (("untimed", ""), [], [True, False], []),
        (("", "tenth"), [], [], [UNIT, 10 * UNIT]),
    ],
)
def test_what_all_spans_are_is_left_out_where_they_are_joined(
    marks: tuple[str, ...], stream: list[bool], untimed: list[bool], weight: list[int]
) -> None:
    _, frames = flushed(message(*marks))
    frame = frames[0]
    assert (frame.stream.tolist(), frame.untimed.tolist(), frame.weight.tolist()) == (stream, untimed, weight)
    assert (frame.clock.tolist(), frame.clocks, frame.span.tolist()) == ([], (), [1, 2])


def test_spans_whose_clocks_are_in_question_say_which() -> None:
    late = decoded([Span("slow", 7, 7, 0, SERVER, T0 - 3 * SECOND - MS, T0 - 3 * SECOND)])
    _, frames = flushed(message("", ""), late)
    frame = frames[0]
    names = [frame.clocks[n] if n >= 0 else "" for n in frame.clock.tolist()]
    assert dict(zip(frame.span.tolist(), names, strict=True)) == {1: "", 2: "", 7: "slow\x1f"}
    assert (frame.clock_shift_ns.tolist(), frame.clock_floor_ns.tolist()) == ([0], [3 * SECOND])


def test_spans_go_where_their_trace_is_and_those_without_ids_nowhere() -> None:
    spans = [
        Span("cart", trace, span, 0, SERVER, T0 - MS, T0)
        for trace, span in ((1, 5), (4, 6), (7, 8), (2, 9), (0, 3), (5, 0))
    ]
    _, frames = flushed(decoded(spans), partitions=3)
    assert {p: sorted(f.span.tolist()) for p, f in frames.items()} == {0: [], 1: [5, 6, 8], 2: [9]}


def test_only_client_spans_that_failed_tell_whom_they_call() -> None:
    calls = [
        (CLIENT, True, "external:a"),
        (CLIENT, False, "external:b"),
        (SERVER, True, "external:c"),
        (CLIENT, True, ""),
    ]
    spans = [Span("cart", 9, n, 0, kind, T0 - MS, T0, bad, peer=peer) for n, (kind, bad, peer) in enumerate(calls, 1)]
    _, frames = flushed(decoded(spans))
    assert frames[0].peers == ("external:a",)


def part(*numbers: int) -> EnvironmentPart:
    return EnvironmentPart(Names("prod", 1, 100), np.array(numbers, np.int64), min(numbers) >= 0)


@pytest.mark.parametrize(
    ("numbers", "keep", "picked"),
    [
        ((5, 6), [True, True, True], [0, 1, 2]),
        ((5, 6), [True, False, True], [0, 2]),
        ((5, -1), [True, True, True], [0, 2]),
        ((-2, 6), [True, True, False], [1]),
        ((-2, -1), [True, True, True], []),
    ],
)
def test_records_belong_where_their_resource_does(
    numbers: tuple[int, ...], keep: list[bool], picked: list[int]
) -> None:
    resource = np.array([0, 1, 0], np.int32)
    assert np.arange(3)[part(*numbers).pick(resource, np.array(keep))].tolist() == picked


def events(n: int, **marks: np.ndarray) -> Events:
    column = np.arange(n, dtype=np.int64)
    return Events(column, column, column, 9, column, (column,), **marks)


def test_events_of_two_kinds_are_put_together_with_what_is_usual_of_those_that_say_nothing() -> None:
    plain, marked = (
        events(2),
        events(1, counted=np.array([False]), timed=np.array([False]), weight=np.array([7], np.int32)),
    )
    both, other, none = plain.and_also(marked), marked.and_also(plain), plain.and_also(plain)
    assert (none.counted, none.timed, none.weight, none.end_ns.tolist()) == (None, None, None, [0, 1, 0, 1])
    assert both.counted is not None
    assert both.timed is not None
    assert both.weight is not None
    found = both.counted.tolist(), both.timed.tolist(), both.weight.tolist()
    assert found == ([True, True, False], [True, True, False], [UNIT, UNIT, 7])
    assert other.weight is not None
    assert other.weight.tolist() == [7, UNIT, UNIT]
    assert [c.tolist() for c in (both.service, both.other, both.duration_ns, *both.sums)] == [[0, 1, 0]] * 4
    alone = marked.and_also(replace(plain, weight=np.array([2, 3], np.int32)))
    assert alone.weight is not None
    assert alone.weight.tolist() == [7, 2, 3]


def test_environments_for_which_there_is_no_room_are_refused_and_counted() -> None:
    builder = PartialBuilder("otlp_spans/0", IngestSettings(max_environments=1, max_services=2), 1)
    for offset, environment in enumerate(("prod", "prod", "stage")):
        builder.add(replace(message("", ""), resources=(Resource(environment, "cart"),)), NOW, offset)
    assert builder.counters["environment_limit"] == 2
    assert {environment for environment, _, _ in builder.flush().partials} == {"prod"}


@pytest.mark.parametrize("signal", ["spans", "links", "logs", "points"])
def test_an_environment_of_which_records_wait_does_not_leave(signal: str) -> None:
    """Time may have jumped since they came, as where this process was stopped for a while: what was taken in is told of first."""
    builder = PartialBuilder("otlp_spans/0", IngestSettings(max_environments=1), 1)
    one = decoded([Span("cart", 1, 1, 0, SERVER, T0 - MS, T0)])
    kinds = {
        "spans": one,
        "links": replace(one, linked=one.spans),
        "logs": logs([("cart", T0, 9, "hello")]),
        "points": points([("cart", 2, 9, 1, T0 - SECOND, T0, 5.0)]),
    }
    later = Receipt(T0 + 10 * MINUTE, T0 + 10 * MINUTE)
    builder.add(replace(kinds[signal], resources=(Resource("prod", "cart"),)), NOW, 0)
    builder.add(replace(one, resources=(Resource("stage", "cart"),)), later, 1)
    assert {f.environment for _, _, f in builder.flush().partials} == {"prod"}
    assert (builder.counters["environment_left"], builder.counters["environment_limit"]) == (0, 1)
    builder.add(replace(one, resources=(Resource("stage", "cart"),)), later, 2)
    assert {f.environment for _, _, f in builder.flush().partials if f.services} == set(), "asked again a second later"
    builder.add(
        replace(one, resources=(Resource("stage", "cart"),)), Receipt(later.now_ns + 2 * SECOND, later.time_ns), 3
    )
    assert {f.environment for _, _, f in builder.flush().partials if f.services} == {"stage"}


def test_of_a_message_each_environment_has_its_own() -> None:
    spans = [Span(service, n, n, 0, SERVER, T0 - MS, T0) for n, service in enumerate(("cart", "cart", "web"), 1)]
    both = replace(decoded(spans), resources=(Resource("prod", "cart"), Resource("stage", "web")))
    builder = PartialBuilder("otlp_spans/0", IngestSettings(), 1)
    builder.add(both, NOW, 0)
    frames = [(e, f) for e, _, f in builder.flush().partials if f.signal == "spans"]
    assert [(e, f.services, f.count.tolist()) for e, f in frames] == [
        ("prod", ("cart",), [2]),
        ("stage", ("web",), [1]),
    ]


def test_links_are_joined_and_are_no_spans_themselves() -> None:
    """Of a consumer that names who sent it its message by a link; one that has yet to happen is none."""
    ahead = round(IngestSettings().max_delay_s * SECOND)
    spans = [Span("cart", n, n, 0, SERVER, T0 - 10 * MS, T0) for n in (1, 2, 3)]
    found = decoded(spans)
    assert found.spans is not None
    ids = np.array([91, 92, 93], np.uint64)
    linked = replace(
        found.spans, span=ids, parent=np.array([7, 8, 9], np.uint64), end_ns=T0 + np.array([0, ahead, ahead + 1])
    )
    builder, frames = flushed(replace(found, linked=linked))
    assert sorted(zip(frames[0].span.tolist(), frames[0].parent.tolist(), strict=True)) == [
        (1, 0), (2, 0), (3, 0), (91, 7), (92, 8)
    ]  # fmt: skip
    assert builder.counters["spans"] == 3


def test_of_services_for_which_there_is_no_room_nothing_is_taken_for_anothers() -> None:
    settings = IngestSettings(max_services=1)
    builder = PartialBuilder("otlp_spans/0", settings, 1)
    known = [Span(f"s{n}", n, n, 0, SERVER, T0 - MS, T0) for n in range(1, 5)]
    strangers = [Span("t", n, n, 0, SERVER, T0 - MS, T0) for n in (8, 9)]
    counts = []
    for offset, some in enumerate((known, strangers, [*known, *strangers])):
        builder.add(decoded([replace(s, span=s.span + 100 * offset) for s in some]), NOW, offset)
        flushed_ = builder.flush()
        counts.append(
            {
                f.services[i]: n
                for _, _, f in flushed_.partials
                if f.signal == "spans"
                for i, n in enumerate(f.count.tolist())
            }
        )
        assert {s % 100 for _, _, f in flushed_.spans for s in f.span.tolist()} <= {1, 2, 3, 4}
    assert counts == [{"s1": 1, "s2": 1, "s3": 1, "s4": 1}, {}, {"s1": 1, "s2": 1, "s3": 1, "s4": 1}]
    assert builder.counters["service_limit"] == 4


def test_names_that_nobody_uses_make_room_with_a_flush() -> None:
    builder = PartialBuilder("otlp_spans/0", IngestSettings(max_services=2), 1)
    for n, seconds in ((0, 0), (1, 20), (2, 40)):
        now = Receipt(T0 + seconds * SECOND, T0 + seconds * SECOND)
        spans = [
            Span(f"s{n}-{i}", 10 * n + i + 1, 10 * n + i + 1, 0, SERVER, now.now_ns - MS, now.now_ns) for i in range(7)
        ]
        builder.add(decoded(spans), now, n)
        builder.flush()
    assert builder.counters["names_left"] > 0


def test_a_span_that_stands_for_ten_is_in_its_histogram_ten_times() -> None:
    builder = PartialBuilder("otlp_spans/0", IngestSettings(), 1)
    builder.add(message("tenth", "", "stream", "untimed"), NOW, 0)
    (frame,) = [f for _, _, f in builder.flush().partials if f.signal == "spans"]
    assert (frame.count.tolist(), frame.hist_count.tolist(), frame.unseen.tolist()) == ([3], [11], [9 * UNIT])
    for marks, count, timed in ((("", "stream"), 1, 1), (("", "untimed"), 2, 1), (("stream",), 0, 0)):
        builder = PartialBuilder("otlp_spans/0", IngestSettings(), 1)
        builder.add(message(*marks), NOW, 0)
        (frame,) = [f for _, _, f in builder.flush().partials if f.signal == "spans"]
        assert (frame.count.tolist(), int(frame.hist_count.sum()), len(frame.unseen)) == ([count], timed, 0)


@pytest.mark.parametrize(
    ("kind", "parent", "known"), [(SERVER, 7, 3), (CONSUMER, 7, 3), (INTERNAL, 0, 3), (INTERNAL, 7, 0), (CLIENT, 7, 0)]
)
def test_requests_are_compared_with_others_of_their_route(kind: int, parent: int, known: int) -> None:
    """What is served, and spans without a parent."""
    builder = PartialBuilder("otlp_spans/0", IngestSettings(), 1)
    for second in range(40):
        at = T0 + second * SECOND
        spans = [
            Span("cart", 9 * second + n, 9 * second + n, parent, kind, at - 10 * MS, at, name="GET /")
            for n in (1, 2, 3)
        ]
        roots = [Span("cart", 9 * second + 5, 9 * second + 5, 0, SERVER, at - 10 * MS, at, name="GET /x")]
        builder.add(decoded([*spans, *roots]), Receipt(at, at), second)
        frames = [f for _, _, f in builder.flush().partials if f.signal == "spans"]
    assert sum(int(f.known.sum()) for f in frames) == known + 1


def test_statements_are_asked_by_client_spans_that_name_whom_they_ask() -> None:
    batch = replace(_batch(), statement=np.array([1, 0, 1, 1], np.int32))
    peer = np.array([0, 0, 0, -1])
    assert asking(batch, slice(None), peer).tolist() == [True, False, False, False]
    assert asking(batch, np.array([0, 3]), peer[[0, 3]]).tolist() == [True, False]
    assert asking(replace(batch, statement=np.empty(0, np.int32)), slice(None), peer).tolist() == [False] * 4


def _batch() -> SpanBatch:
    kinds = (CLIENT, CLIENT, SERVER, CLIENT)
    found = decoded([Span("cart", n, n, 0, kind, T0, T0) for n, kind in enumerate(kinds, 1)]).spans
    assert found is not None
    return found


def test_calls_to_who_sends_no_spans_take_no_less_than_no_time() -> None:
    spans = [Span("cart", n, n, 0, CLIENT, T0, T0 + took, peer="db:x/y") for n, took in ((1, -5 * MS), (2, 3), (3, 0))]
    builder = PartialBuilder("otlp_spans/0", IngestSettings(), 1)
    builder.add(decoded(spans), NOW, 0)
    sums = {
        (f.signal, int(f.count.sum())): int(f.duration_ns.sum()) for _, _, f in builder.flush().partials if len(f.count)
    }
    assert sums == {("edges", 3): 3, ("spans", 3): 3}


def test_the_histogram_of_each_row_goes_where_the_row_does() -> None:
    builder = PartialBuilder("otlp_spans/0", IngestSettings(), 4)
    names = [f"s{n}" for n in range(12)]
    spans = [
        Span(name, 100 * n + i + 1, 100 * n + i + 1, 0, SERVER, T0 - (i + 1) * 50 * MS, T0)
        for n, name in enumerate(names)
        for i in range(n + 1)
    ]
    builder.add(decoded(spans), NOW, 0)
    found = {}
    for _, _, frame in builder.flush().partials:
        if frame.signal == "spans" and len(frame.count):
            cells = np.bincount(frame.hist_row, frame.hist_count, len(frame.count))
            assert cells.tolist() == frame.count.tolist()
            found |= dict(zip((frame.services[i] for i in frame.service), frame.count.tolist(), strict=True))
    assert found == {name: n + 1 for n, name in enumerate(names)}
