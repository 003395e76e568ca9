"""From which figures on a gap is one, and in which words and how surely it is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.events import TelemetryGaps
from contracts.features import METRIC_REQUEST_RATE
from contracts.frames import FeatureFrame, PartialFrame
from contracts.units import MINUTE
from contracts.units import SECOND as S
from contracts.verdicts import GapKind as G
from streams.windows import facts as f
from streams.windows.gaps import GapJudge
from streams.windows.rows import Origin, frame

T0 = 1_760_000_000 * S
WHOLE = {f.HEARD: 20, f.SERVED: 100, f.ASKED: 20, f.LOGS: 9, f.POINTS: 9, f.RESOURCE_POINTS: 9}


def heard(counts: dict[int, int], told: tuple[str, ...] = ()) -> PartialFrame:
    """A message of one service that carries these facts."""
    row = np.zeros((1, f.WIDTH), np.int64)
    for column, count in counts.items():
        row[0, column] = count
    empty = frame(Origin("prod", "s/0", 1, 1), "spans", {})
    return replace(empty, facts_of=("shop/cart",), facts=row, told=told)


def points(every_s: float, count: int, series: int = 1) -> PartialFrame:
    """Points of a service's series, so many seconds apart."""
    at = T0 + np.array([round(n * every_s * S) for n in range(count)], np.int64)
    empty = frame(Origin("prod", "m/0", 1, 1), "metrics", {})
    same = np.zeros(count, np.int64)
    return replace(
        empty, services=("shop/cart",), point_service=same, point_series=same + series, point_time_ns=at[::-1]
    )


def rows(signal: str, requests: float, width_ns: int = S) -> FeatureFrame:
    """What went out of a window: so many requests."""
    rate = np.array([[requests]])
    return FeatureFrame(
        environment="prod", signal=signal, partition=0, window_ns=T0, width_ns=width_ns, revision=0, services=("shop/cart",),
        peers=(), versions=("",), attributes=("",), features=(METRIC_REQUEST_RATE,), values=rate,
        counts=np.array([round(np.nan_to_num(requests))]), notes=(), presence=np.zeros(1, np.int8),
    )  # fmt: skip


def judged(counts: dict[int, int], after_s: int = 150, told: tuple[str, ...] = ()) -> dict[G, tuple[str, bool]]:
    judge = GapJudge("prod", 10)
    judge.hear(heard(counts, told), T0)
    return said(judge.look(T0 + after_s * S))


def said(told: list[TelemetryGaps]) -> dict[G, tuple[str, bool]]:
    return {g.kind: (g.text, g.certain) for t in told for g in t.gaps}


def delays(*counts: int, of: slice = f.SPAN_DELAYS) -> dict[int, int]:
    return {of.start + i: n for i, n in enumerate(counts)}


@pytest.mark.parametrize(
    ("counts", "kind", "gap"),
    [
        ({f.SERVED: 0, f.ASKED: 20, f.ROOTS: 0}, G.NO_SERVER_SPANS, "all its spans have parents, and none is a server's"),
        ({f.SERVED: 0, f.ASKED: 20, f.ROOTS: 1}, G.NO_SERVER_SPANS, ""),
        ({f.SERVED: 0, f.ASKED: 19}, G.NO_SERVER_SPANS, ""),
        ({f.SERVED: 0, f.ASKED: 5, f.PRODUCED: 5, f.OTHERS: 10}, G.NO_SERVER_SPANS, "all its spans have parents"),
        ({f.SERVED: 0, f.ASKED: 20, f.ROOTS: 1, f.HIDDEN_SERVES: 1}, G.NO_SERVER_SPANS, "others' calls lead to its spans"),
        ({f.SERVED: 20, f.ASKED: 0}, G.NO_CLIENT_SPANS, "none of its spans is a client's; if it calls nobody"),
        ({f.SERVED: 20, f.ASKED: 0, f.HIDDEN_CALLS: 1}, G.NO_CLIENT_SPANS, "others serve requests of its"),
        ({f.SERVED: 19, f.ASKED: 0, f.OTHERS: 9}, G.NO_CLIENT_SPANS, ""),
        ({f.ASKED: 0, f.PRODUCED: 1}, G.NO_CLIENT_SPANS, ""),
        ({f.ASKED: 50, f.PRODUCED: 50, f.UNNAMED: 6}, G.UNNAMED_PEERS, "6% of its calls name neither"),
        ({f.ASKED: 50, f.PRODUCED: 50, f.UNNAMED: 5}, G.UNNAMED_PEERS, ""),
        ({f.ASKED: 10, f.PRODUCED: 9, f.UNNAMED: 19}, G.UNNAMED_PEERS, ""),
        ({f.ASKED: 10, f.PRODUCED: 10, f.UNNAMED: 20}, G.UNNAMED_PEERS, "100% of its calls"),
        ({f.JOINED: 69, f.ORPHANS: 31}, G.BROKEN_TRACES, "of 31% of the requests it serves for others"),
        ({f.JOINED: 70, f.ORPHANS: 30}, G.BROKEN_TRACES, ""),
        ({f.JOINED: 0, f.ORPHANS: 19}, G.BROKEN_TRACES, ""),
        ({f.JOINED: 10, f.ORPHANS: 10}, G.BROKEN_TRACES, "of 50% of"),
        ({f.SHIFTED: 7, f.SHIFT_MS: -7 * 20_000}, G.SKEWED_CLOCK, "its clock is 20.0 s ahead"),
        ({f.SHIFTED: 7, f.SHIFT_MS: 7 * 2500}, G.SKEWED_CLOCK, "its clock is 2.5 s behind"),
        ({f.SHIFTED: 6, f.SHIFT_MS: 6 * 2500}, G.SKEWED_CLOCK, ""),
        ({f.NAMELESS: 11}, G.UNNAMED_SERVICE, "nothing in its resource names it"),
        ({f.NAMESPACELESS: 11}, G.NO_NAMESPACE, "neither service.namespace nor"),
        ({f.VERSIONLESS: 11}, G.NO_VERSION, "neither service.version nor"),
        ({f.VERSIONLESS: 10}, G.NO_VERSION, ""),
        ({f.INSTANCELESS: 11}, G.NO_INSTANCE, "neither service.instance.id"),
        ({f.WORKLOADLESS: 11}, G.NO_WORKLOAD, "its pods are told, and no Deployment"),
        ({f.LOGS: 0}, G.NO_LOGS, "it sends spans, and no log records"),
        ({f.LOGS: 1}, G.NO_LOGS, ""),
        ({f.RESOURCE_POINTS: 0}, G.NO_RESOURCE_METRICS, "no metric tells of its CPU or memory"),
    ],
)  # fmt: skip
def test_each_gap_is_one_from_a_figure_on(counts: dict[int, int], kind: G, gap: str) -> None:
    found = judged({**WHOLE, **counts})
    assert found.get(kind, ("",))[0][: len(gap) or 99] == gap
    assert set(found) - {kind} <= {G.NO_CLIENT_SPANS}, "and no other is told for that"


@pytest.mark.parametrize(
    ("counts", "called", "text", "certain"),
    [
        ({f.POINTS: 1}, "", "it sends metrics, but no spans (databases and brokers need not)", False),
        ({f.LOGS: 1}, "", "it sends logs, but no spans (databases and brokers need not)", False),
        ({f.LOGS: 1, f.POINTS: 1}, "", "it sends metrics and logs, but no spans (databases", False),
        ({f.LOGS: 1}, "shop/cart", "it is called by others, and sends logs, but no spans", True),
        ({f.POINTS: 1}, "cart", "it is called by others, and sends metrics, but no spans", True),
    ],
)
def test_who_sends_anything_but_spans_is_told_of_by_whether_others_call_it(
    counts: dict[int, int], called: str, text: str, certain: bool
) -> None:
    told = (f"called\t{called}",) if called else ()
    assert judged(counts, 19, told) == {}, "they had no time to come yet"
    found = judged(counts, 20, told)
    assert (found[G.NO_SPANS][0][: len(text)], found[G.NO_SPANS][1]) == (text, certain)
    assert G.NO_SPANS not in judged({**counts, f.OTHERS: 1}, 20, told)
    assert judged({f.HEARD: 1}, 20, told) == {}


def test_clients_that_name_it_make_a_service_without_server_spans_sure_to_lack_them() -> None:
    quiet = {**WHOLE, f.SERVED: 0, f.ROOTS: 20}
    assert G.NO_SERVER_SPANS not in judged(quiet)
    assert judged(quiet, told=("called\tcart",))[G.NO_SERVER_SPANS] == (
        "clients name it as whom they call, and none of its spans is a server's or a consumer's",
        True,
    )


@pytest.mark.parametrize(
    ("counts", "how"),
    [
        ((20,), ""),
        ((2, 0, 0, 0, 17), ""),  # of too few nothing is said
        ((3, 0, 0, 0, 17), "up to 3 s after their end: they wait for a batch"),
        ((10, 0, 0, 10), ""),  # two seconds are not late
        ((90, 0, 0, 0, 10), ""),  # the slowest tenth
        ((89, 0, 0, 0, 11), "up to 3 s after their end: they wait for a batch"),
        ((0, 5, 5, 5, 5, 10), "up to 5 s after their end: they wait for a batch"),
        ((9, 0, 0, 0, 81, 10), "up to 3 s after their end, all of them: something on the way holds them"),
        ((10, 0, 0, 0, 80, 10), "up to 3 s after their end: they wait for a batch"),
        ((0,) * 10 + (20,), "more than 60 s after their end, all of them: something on the way holds them"),
    ],
)
def test_what_comes_late_is_told_by_its_slowest_tenth_but_one(counts: tuple[int, ...], how: str) -> None:
    for kind, what, of in ((G.LATE_SPANS, "spans", f.SPAN_DELAYS), (G.LATE_LOGS, "log records", f.LOG_DELAYS)):
        found = judged({**WHOLE, **delays(*counts, of=of)})
        assert found == ({kind: (f"its {what} come {how}", True)} if how else {})
        skewed = {f.SHIFTED: 20, f.SHIFT_MS: -100_000}
        assert kind not in judged({**WHOLE, **delays(*counts, of=of), **skewed}), "its clock may be the reason"


@pytest.mark.parametrize(
    ("every_s", "count", "text"),
    [(60.0, 3, "60 s"), (16.0, 3, "16 s"), (15.0, 3, ""), (60.0, 2, ""), (20.0, 40, "20 s")],
)
def test_slow_metrics_are_told_by_the_time_between_points_of_a_series(every_s: float, count: int, text: str) -> None:
    judge = GapJudge("prod", 10)
    judge.hear(heard(WHOLE), T0)
    judge.hear(points(every_s, count), T0)
    judge.hear(points(every_s, 1), T0)  # what comes again, or out of order, is no period
    expected = {G.SLOW_METRICS: (f"its metrics come every {text}", True)} if text else {}
    assert said(judge.look(T0 + S)) == expected
    judge.hear(points(5.0, 200, series=2), T0 + S)
    assert said(judge.look(T0 + 10 * S)) == {}, "the latest periods count"


@pytest.mark.parametrize(
    ("by_spans", "rate", "every_s", "text"),
    [
        (69, 10.0, 10.0, "of the requests that its metrics count 69% come as spans"),
        (70, 10.0, 10.0, ""),
        (10, 1.9, 10.0, ""),
        (10, 2.0, 10.0, "of the requests that its metrics count 50% come as spans"),
        (10, 20.0, 1.0, "of the requests that its metrics count 50% come as spans"),
    ],
)
def test_a_share_of_spans_is_told_against_what_metrics_count(
    by_spans: int, rate: float, every_s: float, text: str
) -> None:
    """A reading of a rate stands for the seconds until the next; one of spans for its window."""
    judge = GapJudge("prod", 10)
    judge.hear(heard(WHOLE), T0)
    judge.hear(points(every_s, 3), T0)
    judge.see(rows("spans", by_spans))
    judge.see(replace(rows("spans", 1000), revision=1))
    judge.see(rows("metrics", rate))
    judge.see(rows("metrics", float("nan")))
    found = said(judge.look(T0 + 150 * S))
    assert found == ({G.SAMPLED: (text, True)} if text else {})


def test_of_unread_metrics_five_are_named_and_those_that_are_read_now_no_more() -> None:
    judge = GapJudge("prod", 10)
    judge.hear(heard(WHOLE, tuple(f"unread\tshop/cart\tm{n}" for n in range(7))), T0)
    found = said(judge.look(T0 + 20 * S))
    assert found == {G.UNMAPPED_METRICS: ("nobody has told what these mean: m0, m1, m2, m3, m4 and 2 more", False)}
    for minute in range(1, 13):
        now_ns = T0 + minute * MINUTE
        told = ("unread\tshop/cart\tm3", "unread\tshop/other\tm9") if minute <= 11 else ()
        judge.hear(heard(WHOLE, told), now_ns)
        judge.look(now_ns)
    found = said(judge.look(T0 + 21 * MINUTE))
    assert found == {G.UNMAPPED_METRICS: ("nobody has told what these mean: m3", False)}, "it was said ten minutes ago"
    assert [t.gaps for t in judge.look(T0 + 24 * MINUTE)] == [()]
    judge.hear(heard(WHOLE, tuple(f"unread\tshop/cart\tx{n}" for n in range(100))), T0 + 25 * MINUTE)
    (text, _) = said(judge.look(T0 + 26 * MINUTE, now=True))[G.UNMAPPED_METRICS]
    assert text.endswith(" and 35 more"), "forty are remembered at most"


@pytest.mark.parametrize("names", [1, 5, 6, 7])
def test_five_of_the_metrics_that_nobody_has_told_of_are_named(names: int) -> None:
    judge = GapJudge("prod", 10)
    judge.hear(heard(WHOLE), T0)
    judge.hear(heard(WHOLE, tuple(f"{f.UNREAD_METRIC}\tshop/cart\tm{n}" for n in range(names))), T0)
    more = f" and {names - 5} more" if names > 5 else ""
    listed = ", ".join(f"m{n}" for n in range(min(names, 5)))
    text = f"nobody has told what these mean: {listed}{more}"
    assert said(judge.look(T0 + 150 * S))[G.UNMAPPED_METRICS] == (text, False)


def test_of_who_lacks_nothing_that_is_told_when_all_has_had_time_to_come() -> None:
    judge = GapJudge("prod", 10)
    judge.hear(heard(WHOLE), T0)
    assert judge.look(T0 + 150 * S - 1, now=True) == []
    (told,) = judge.look(T0 + 150 * S, now=True)
    assert (told.service, told.gaps, told.time_ns) == ("shop/cart", (), T0 + 150 * S)
    assert judge.look(T0 + 151 * S, now=True) == []


def test_requests_that_metrics_counted_before_their_period_was_known_stand_for_their_window() -> None:
    judge = GapJudge("prod", 10)
    judge.hear(heard(WHOLE), T0)
    for _ in range(5):
        judge.see(rows("metrics", 10.0))
    assert judge.state()["known"]["shop/cart"]["by_metrics"] == 50.0
    judge.hear(points(10.0, 3), T0)
    judge.see(rows("metrics", 10.0))
    assert judge.state()["known"]["shop/cart"]["by_metrics"] == 150.0


@pytest.mark.parametrize(("lately", "text"), [(5, "60 s"), (6, "32 s"), (7, "")])
def test_the_twelve_latest_periods_of_a_service_count(lately: int, text: str) -> None:
    judge = GapJudge("prod", 10)
    judge.hear(heard(WHOLE), T0)
    judge.hear(points(60.0, 21), T0)
    judge.hear(points(5.0, lately + 1, series=2), T0)
    expected = {G.SLOW_METRICS: (f"its metrics come every {text}", True)} if text else {}
    assert said(judge.look(T0 + S)) == expected
