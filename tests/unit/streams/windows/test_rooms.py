"""Where there is no room for all: who leaves takes along what is known of it, and what stays is as it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from contracts.features import Signal
from contracts.frames import PartialFrame, Resource
from contracts.settings import IngestSettings
from contracts.units import MINUTE, SECOND
from streams.windows import facts as f
from streams.windows import failed_calls
from streams.windows.collect import Receipt
from streams.windows.edges import EdgeJoiner
from streams.windows.failed_calls import UNKNOWN, FailedCalls
from streams.windows.hosts import ANSWERED_NS, PATIENCE_NS, Hosts
from streams.windows.merge import FeatureMerger
from streams.windows.names import Names
from streams.windows.partials import PartialBuilder
from streams.windows.request_rows import SPAN
from streams.windows.rows import Origin
from streams.windows.rows import frame as partial
from streams.windows.state import load
from streams.windows.tables import KeyTable
from tests.unit.streams.windows.support import CLIENT, MS, SERVER, T0, Span, decoded, logs
from tests.unit.streams.windows.test_calls import Half, call
from tests.unit.streams.windows.test_edges import Joining, edges, span
from tests.unit.streams.windows.test_merging import Bench


def sites(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint64)


def test_peers_are_known_by_site_and_of_too_many_it_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_calls, "MOST_PEERS", 2)
    names = Names("prod", 1, 10)
    failed = FailedCalls(names, 5 * SECOND, SPAN)
    failed.hear([(1, "a"), (2, "b")])
    failed.hear([(2, "c")])
    assert [names.text[n] if n >= 0 else "" for n in failed.peers(sites(2, 1, 3, 2)).tolist()] == ["c", "a", "", "c"]
    again = FailedCalls(names, 5 * SECOND, SPAN)
    again.load(failed.state())
    again.hear([(3, "d")])
    assert again.peers(sites(1, 2)).tolist() == [UNKNOWN, UNKNOWN]
    assert names.text[again.peers(sites(3))[0]] == "d"


def test_failed_calls_wait_for_as_long_as_halves_of_calls_do() -> None:
    names = Names("prod", 1, 10)
    failed, spans = FailedCalls(names, 5 * SECOND, SPAN), KeyTable(SPAN, SECOND, 100)
    made = np.zeros(4, SPAN)
    made["end_ns"], made["service"], made["kind"], made["trace"] = T0 + np.arange(4), [1, 2, 3, 4], CLIENT, 9
    made["parent"], made["span"] = 77, [5, 6, 7, 8]
    failed.add(made, np.array([5, UNKNOWN, 6, 7]))
    assert failed.numbers().tolist() == [1, 3, 4, 5, 6, 7], "of whom nobody knows where they lead are left out"
    failed.find(spans, T0 + 5 * SECOND)
    assert failed.numbers().tolist() == [1, 3, 4, 5, 6, 7]
    failed.find(spans, T0 + 1 + 5 * SECOND)
    assert failed.numbers().tolist() == [3, 4, 6, 7]
    failed.find(spans, T0 + 3 + 5 * SECOND)
    assert failed.numbers().tolist() == [4, 7]


def test_of_many_failed_calls_the_latest_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_calls, "MOST_WAITING", 3)
    failed = FailedCalls(Names("prod", 1, 10), 5 * SECOND, SPAN)
    for first in (0, 2):
        made = np.zeros(2, SPAN)
        made["service"] = [first, first + 1]
        failed.add(made, np.array([first + 10, first + 11]))
    assert failed.numbers().tolist() == [1, 2, 3, 11, 12, 13]


def test_a_table_of_one_slice_keeps_it_however_large_it_is() -> None:
    table = KeyTable(SPAN, 1, 5)
    rows = np.zeros(10, SPAN)
    assert table.insert(np.arange(10, dtype=np.uint64), rows, T0) == 0
    assert len(table) == 10
    assert table.insert(np.arange(10, 11, dtype=np.uint64), rows[:1], T0 + SECOND) == 10
    assert table.contains(sites(9, 10)).tolist() == [False, True]


def test_what_was_heard_ahead_of_the_clock_is_as_if_it_were_heard_now() -> None:
    hosts = Hosts()
    hosts.hear([(1, "external:a.example"), (2, "external:b.example")], T0 + 60 * SECOND)
    hosts.answered(sites(2), T0 + 60 * SECOND)
    hosts.mend(T0)
    assert hosts.is_outside(sites(1, 2), T0 + PATIENCE_NS - SECOND).tolist() == [False, False]
    assert hosts.is_outside(sites(1, 2), T0 + PATIENCE_NS).tolist() == [True, False]
    assert hosts.is_outside(sites(2), T0 + ANSWERED_NS).tolist() == [False]
    hosts.is_outside(sites(2), T0 + ANSWERED_NS + SECOND)
    assert hosts.is_outside(sites(2), T0 + ANSWERED_NS + SECOND + PATIENCE_NS).tolist() == [True]


def test_an_environment_that_left_begins_anew() -> None:
    builder = PartialBuilder("otlp_spans/0", IngestSettings(max_environments=1), 1)
    spans = decoded([Span("cart", n, n, 0, SERVER, T0 - 10 * MS, T0) for n in (1, 2)])
    seen: list[PartialFrame] = []
    for offset, (environment, minutes) in enumerate((("prod", 0), ("stage", 3), ("prod", 6))):
        at = Receipt(T0 + minutes * MINUTE, T0 + minutes * MINUTE)
        builder.add(replace(spans, resources=(Resource(environment, "cart", "1.0"),)), at, offset)
        seen = [p for _, _, p in builder.flush(tells_time=minutes == 6).partials]
    assert builder.counters["environment_left"] == 2
    told = [dict(zip(p.facts_of, p.facts.tolist(), strict=True)) for p in seen if p.facts_of]
    assert [row["cart"][f.HEARD] for row in told] == [1]
    assert [p.count.tolist() for p in seen if p.signal == "spans"] == [[2]], "the same spans are news"


def test_points_that_a_decoder_added_are_counted() -> None:
    builder = PartialBuilder("otlp_spans/0", IngestSettings(), 1)
    spans = decoded([Span("cart", 1, 1, 0, SERVER, T0 - 10 * MS, T0)])
    for offset, added in enumerate((0, 3, 4)):
        builder.add(replace(spans, added=added), Receipt(T0, T0), offset)
    assert builder.counters["added_points"] == 7


def test_services_that_leave_are_counted_and_named() -> None:
    bench = Bench(settings=IngestSettings(max_services=10, max_delay_s=5))
    for n in range(9):
        bench.requests(f"s{n}", 0.5)
    for second in range(1, 30):
        bench.at(second + 0.5)
        bench.requests("s0", second + 0.5)
    here = [bench.merger.entities.find((f"s{n}", "")) >= 0 for n in range(9)]
    assert (bench.merger.counters["service_left"], here[0]) == (here.count(False), True)
    assert here.count(False) == 1


def test_of_windows_that_are_closed_no_templates_are_kept() -> None:
    bench = Bench("logs", settings=IngestSettings(max_delay_s=5))
    for second in range(40):
        bench.at(second + 0.5)
        bench.send(logs([("a", bench.now, 9, "x" * (second + 1))]))
    body = load("features", 1, bench.merger.snapshot())
    assert len(body["templates"]["first"][0][1]) == 40
    windows = [w for w, *_ in body["templates"]["fresh"]]
    assert windows
    assert min(windows) >= min(w["index"] for w in body["windows"])
    assert {w for w, *_ in body["template_counts"]["open"]} <= {w["index"] for w in body["windows"]}


@pytest.mark.parametrize(("took_ms", "failed"), [(450, 0), (2200, 0), (2400, 4)])
def test_how_long_answers_take_is_learnt_as_it_changes(took_ms: int, failed: int) -> None:
    """A hundred milliseconds once, 450 of late: what takes five times as long is no answer as usual."""
    half, at = Half(), T0
    for took in [100] * 5 + [450] * 100:
        client, server = call("web", "cart", at, peer="external:cart")
        half.send(replace(client, end=at + took * MS), replace(server, end=at + took * MS - MS))
    before = Counter({k: v[1] for k, v in half.said.items()})
    for i in range(4):
        client, _ = call("web", "cart", at + i, peer="external:cart")
        half.send(replace(client, end=client.start + took_ms * MS))
    after = Counter({k: v[1] for k, v in half.said.items()})
    assert sum((after - before).values()) == failed


def test_a_table_holds_as_much_as_there_is_room_for() -> None:
    table, rows = KeyTable(SPAN, 1, 20), np.zeros(10, SPAN)
    evicted = [table.insert(np.arange(10 * n, 10 * n + 10, dtype=np.uint64), rows, T0 + n * SECOND) for n in range(3)]
    assert (evicted, len(table)) == ([0, 0, 10], 20)


def test_names_that_no_span_or_call_needs_any_more_make_room_where_calls_are_joined() -> None:
    settings = IngestSettings(join_horizon_s=5, max_services=2)
    joining = Joining()
    joining.joiner = EdgeJoiner("prod", settings, 1)
    joining.send(*(Span(f"s{n}", n, n, 0, SERVER, T0 - MS, T0) for n in range(1, 9)))
    for second in range(1, 100):
        joining.now = T0 + second * SECOND
        joining.send(Span("s1", second, second, 0, SERVER, joining.now - MS, joining.now))
    assert joining.joiner.counters["names_left"] == 2
    found = joining.send(
        *(span(s, n + 1, n, SERVER, 99_000 + 10 * n, 99_100 - 10 * n) for n, s in enumerate(("s1", "t", "u")))
    )
    assert sorted((a, b) for a, b, *_ in edges(found)) == [("s1", "t"), ("t", "u")]


def test_what_a_table_took_for_newer_than_now_is_as_old_as_now() -> None:
    table = KeyTable(SPAN, SECOND, 100)
    for n, ahead in enumerate((0, 60)):
        table.insert(sites(n), np.zeros(1, SPAN), T0 + ahead * SECOND)
    table.mend(T0 + 2 * SECOND)
    assert table.expire(T0 + 2 * SECOND) == 1
    assert table.contains(sites(0, 1)).tolist() == [False, True]
    assert table.expire(T0 + 2 * SECOND + 1) == 1


def test_what_is_said_of_who_has_no_room_is_nobody_elses() -> None:
    merger = FeatureMerger("prod", Signal.SPANS, IngestSettings(max_services=1), 0)
    rows = {"service": np.array([0, 1, 0], np.int32)}
    said = replace(
        partial(Origin("prod", "otlp/0", 1, 0), "spans", {}),
        services=("a", "b"), versions=("1", "2"), attributes=("", '{"k8s.deployment.name":"b"}'), **rows,
    )  # fmt: skip
    assert merger._merge.entities_of(said, T0).tolist() == [0, -1, 0]
    assert (merger.entities.version[0], merger.entities.attributes[0]) == ("1", "")
    assert list(merger.entities.version) == ["1"]
