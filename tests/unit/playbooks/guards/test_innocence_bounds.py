"""Where the judgement of a target turns: the one request, window, look or caller more that decides, on both sides of each bound."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from contracts import features as f
from contracts.features import BY_SIGNAL, Signal
from contracts.frames import EvidenceFrame
from contracts.mix import Blame
from contracts.units import SECOND as S
from contracts.verdicts import Conduct
from playbooks.guards import Standing, standing
from playbooks.guards.callers_view import handed_on
from playbooks.guards.innocence import NEW_ROUTES, _asked_more, _reaches_back, _several, _told
from playbooks.guards.resources import cpu_before
from playbooks.guards.service_rows import FACES, ServiceRows, asked_mix, rows_of
from tests.unit.playbooks.guards.test_innocence import T0, blamed, calls, frame_of, metrics

HIGH = (24.0, 0.2, 0.06, 0.11, 0.13)
"""Upper ends of the expected rate, error rate and latencies."""
UNKNOWN = (math.nan,) * 5
WORSE, AS_BEFORE = Conduct.WORSE, Conduct.AS_BEFORE


def second(
    t: float, n: int, *, failed: int = 0, took: float = 0.03, high=UNKNOWN, service: str = "cart"
) -> EvidenceFrame:
    """A second of a service: so many requests, of which some failed, and how long each took."""
    row = [float(n), failed / n, took, took, took] if n else [0.0, *[math.nan] * 4]
    return frame_of("spans", T0 + int(t * S), (service,), [row], [n], low=UNKNOWN, high=high)


def usual(windows: int = 60, n: int = 8, **changes) -> list[EvidenceFrame]:
    return [second(t, n, **changes) for t in range(-windows, 0)]


def since(*windows: dict) -> list[EvidenceFrame]:
    return [second(t, **{"n": 8, **w}) for t, w in enumerate(windows)]


def found(*frames: EvidenceFrame, service: str = "cart") -> Standing:
    return standing(frames, service, T0)


@pytest.mark.parametrize(
    ("windows", "noise", "by", "conduct"),
    [
        (4, 0.1, 0.24, AS_BEFORE),  # 2.8 standard deviations of a mean of two windows against a mean of four
        (4, 0.1, 0.28, WORSE),
        (3, 0.1, 0.60, AS_BEFORE),  # too few windows before
        (8, 0.0, 0.17, AS_BEFORE),  # sure, and too little
        (8, 0.0, 0.19, WORSE),
        (8, 0.0, -0.60, AS_BEFORE),
    ],
)
def test_it_is_slower_where_that_is_sure_and_much(windows: int, noise: float, by: float, conduct: Conduct):
    before = [
        second(t, 8, took=0.03 * math.exp(noise if t % 2 else -noise), high=(math.nan, 0.5, *UNKNOWN[2:]))
        for t in range(-windows, 0)
    ]
    after = [replace(f, high=before[0].high) for f in since(*[{"took": 0.03 * math.exp(by)}] * 2)]
    assert found(*before, *after).conduct is conduct


@pytest.mark.parametrize(
    ("before", "after", "conduct"),
    [
        ((400, 0), (10, 2), AS_BEFORE),
        ((400, 0), (10, 3), WORSE),
        ((200, 20), (26, 5), AS_BEFORE),  # more, and not surely
        ((2000, 200), (200, 50), WORSE),
    ],
)
def test_more_fail_where_that_is_sure_and_no_single_mishap(before, after, conduct: Conduct):
    (n, a), (m, b) = before, after
    old = [second(t, n // 10, failed=a // 10) for t in range(-10, 0)]
    new = [second(0, m // 2, failed=b), second(1, m - m // 2)]
    assert found(*old, *new).conduct is conduct


def test_windows_of_one_request_count():
    one = {"n": 1, "failed": 1, "high": HIGH}
    assert found(*usual(n=1, high=HIGH), *since(*[one] * 5)).conduct is WORSE


@pytest.mark.parametrize(("windows", "conduct"), [(3, WORSE), (4, AS_BEFORE)])
def test_a_third_of_the_windows_out_of_their_range_is_worse(windows: int, conduct: Conduct):
    after = [{"took": 0.2, "high": HIGH}] + [{"high": HIGH}] * (windows - 1)
    assert found(*usual(3, high=HIGH), *since(*after)).conduct is conduct


def test_only_the_latest_windows_since_the_onset_are_judged():
    bad, good = {"took": 0.2, "high": HIGH}, {"high": HIGH}
    assert found(*usual(3, high=HIGH), *since(*[bad] * 9, *[good] * 10)).conduct is AS_BEFORE
    assert found(*usual(3, high=HIGH), *since(*[bad] * 9, *[good] * 6)).conduct is WORSE


@pytest.mark.parametrize(("at", "conduct"), [(-1.0, AS_BEFORE), (-0.5, WORSE)])
def test_a_window_that_ends_at_the_onset_is_from_before_it(at: float, conduct: Conduct):
    bad = second(at, 8, took=0.2, high=HIGH)
    assert found(*usual(3, high=HIGH)[:-1], bad, *since(*[{"high": HIGH}] * 2)).conduct is conduct


def test_without_a_past_the_expected_ranges_are_what_it_is_held_against():
    known, unknown = found(*since(*[{"high": HIGH}] * 3)), found(*since(*[{}] * 3))
    assert known.conduct is AS_BEFORE
    assert (
        known.text == "it answers as before: 24 requests in 3 s, 0 failed, latency (p95) 30 ms, expected up to 110 ms"
    )
    assert (unknown.conduct, unknown.text) == (Conduct.UNKNOWN, "nothing is known of it from before the onset")


@pytest.mark.parametrize(
    ("served", "conduct"), [((2, 2), Conduct.UNKNOWN), ((3, 2), AS_BEFORE), ((5,), Conduct.UNKNOWN)]
)
def test_so_many_requests_and_windows_it_takes_to_tell(served: tuple[int, ...], conduct: Conduct):
    assert found(*usual(), *since(*({"n": n} for n in served))).conduct is conduct


@pytest.mark.parametrize(
    ("counts", "conduct"),
    [
        ((4, 1, 1, 0, 0), AS_BEFORE),  # it is asked for two requests a second now: four are missing
        ((4, 1, 1, 0, 0, 0), WORSE),
        ((8, 8, 8, 8), AS_BEFORE),
        ((0,), WORSE),
    ],
)
def test_it_serves_nothing_where_enough_requests_are_missing(counts: tuple[int, ...], conduct: Conduct):
    assert found(*usual(), *since(*({"n": n} for n in counts))).conduct is conduct


def test_it_says_how_many_requests_are_missing():
    text = found(*usual(), *since(*({"n": n} for n in (4, 1, 1, 0, 0, 0)))).text
    assert text == "it served nothing for 3 s, where 6 requests are usual"
    rare = found(*[second(t, int(t % 10 == 0)) for t in range(-60, 0)], *since({"n": 0}, {"n": 0}))
    assert (rare.conduct, rare.text) == (Conduct.UNKNOWN, "it served no requests since the onset, and is asked rarely")


@pytest.mark.parametrize(
    ("n", "error", "conduct"),
    [
        (30, 0.1, Conduct.UNKNOWN),  # three of thirty, and none before
        (40, 0.09, AS_BEFORE),
        (20, 0.1, AS_BEFORE),  # two calls
        (5, 1.0, Conduct.UNKNOWN),
        (4, 1.0, AS_BEFORE),
    ],
)
def test_calls_that_fail_on_the_way_speak_against_it(n: int, error: float, conduct: Conduct):
    frames = [*usual(), *since({}, {}), calls(T0, n, error)]
    assert found(*frames).conduct is conduct


def test_calls_that_always_failed_do_not():
    before = [calls(T0 + t * S, 40, 0.3) for t in range(-60, 0)]
    assert found(*usual(), *before, *since({}, {}), calls(T0, 40, 0.35)).conduct is AS_BEFORE
    assert found(*usual(), *before, *since({}, {}), calls(T0, 40, 0.45)).conduct is Conduct.UNKNOWN
    long_ago = [replace(f, window_ns=f.window_ns - 100 * S) for f in before]
    assert found(*usual(), *long_ago, *since({}, {}), calls(T0, 40, 0.35)).conduct is Conduct.UNKNOWN


@pytest.mark.parametrize(
    ("peer", "meant"),
    [
        ("a/shop/cart", True),
        ("external:cart", True),
        ("external:cart.prod.svc", True),
        ("external:a/shop/cart", True),
        ("external:prod.cart", False),
        ("external:shop/cart", False),
        ("cart", False),
        ("external:web", False),
    ],
)
def test_callers_know_it_by_some_names(peer: str, meant: bool):
    name = "a/shop/cart"
    rows = [replace(frame, services=(name,)) for frame in (*usual(), *since({}, {}))]
    conduct = found(*rows, calls(T0, 40, 0.9, peer=peer), service=name).conduct
    assert conduct is (Conduct.UNKNOWN if meant else AS_BEFORE)


def known(frame: EvidenceFrame, share: float) -> EvidenceFrame:
    """Of the requests of a window, those whose routes are known: they take the usual time."""
    n = share * float(frame.counts[0])
    return replace(frame, aside=np.array([[n, 17.0 * n, 0.0]]))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_new_routes_take_says_nothing_of_the_old(share: float):
    before = [known(f, 1.0) for f in usual()]
    result = found(*before, *(known(f, share) for f in since(*[{"took": 0.3}] * 5)))
    if share:
        assert (result.conduct, result.new_routes) == (WORSE, False)
    else:
        assert (result.conduct, result.new_routes, result.text) == (Conduct.UNKNOWN, True, NEW_ROUTES)


def test_failures_of_new_routes_are_its_own():
    before = [known(f, 1.0) for f in usual()]
    assert found(*before, *(known(f, 0.0) for f in since(*[{"failed": 4}] * 5))).conduct is WORSE


@pytest.mark.parametrize(
    ("windows", "n", "demand"),
    [(4, 14, False), (4, 16, True), (9, 13, False), (12, 14, True), (4, 8, False)],
)
def test_it_is_asked_for_more_where_that_is_sure_and_much(windows: int, n: int, demand: bool):
    assert found(*usual(n=10, took=0.1), *since(*[{"n": n, "took": 0.1}] * windows)).demand is demand


@pytest.mark.parametrize(("took", "demand"), [(0.02, False), (0.2, True)])
def test_requests_that_are_never_two_at_once_do_not_queue_for_one_another(took: float, demand: bool):
    """Ten times the usual requests are no reason to scale where one is done long before the next comes."""
    assert found(*usual(n=1, took=took), *since(*[{"n": 10, "took": took}] * 8)).demand is demand


def test_requests_that_become_slow_are_not_in_one_anothers_way_for_that():
    """Six a second, of which each took 30 ms, keep one worker busy for a fifth of its time: they are slow by themselves."""
    assert not found(*usual(n=2), *since(*[{"n": 6, "took": 0.5}] * 8)).demand
    assert found(*usual(n=2, took=0.1), *since(*[{"n": 6, "took": 0.5}] * 8)).demand


@pytest.mark.parametrize(
    ("looks_s", "unread"),
    [
        ((-3.0, -2.0, -1.0), True),
        ((-3.0, -2.0, 0.0), False),
        ((-3.0, -2.0, 2.0), True),  # whoever diagnoses has not judged that yet
        ((-3.0, -2.0, -0.5), False),  # of a second in which the onset is
        ((-60.0, -1.0), False),  # told of seldom: it isn't waited for
        ((-11.0, -1.0), True),
        ((-12.5, -1.5), False),
        ((-1.0,), False),
        ((), False),
    ],
)
def test_whether_it_is_yet_to_be_told_how_busy_it_is(looks_s: tuple[float, ...], unread: bool):
    looks = [metrics(T0 + int(t * S), cpu_utilization=0.3) for t in looks_s]
    blind = [metrics(T0 + S, memory_bytes=3e8)]
    result = found(*usual(n=8), *looks, *blind, *since(*[{"n": 30}] * 3))
    assert result.unread is unread


@pytest.mark.parametrize(
    ("windows", "there"),
    [
        ([{"n": 8}] * 5, True),
        ([{"n": 8, "took": 0.3, "failed": 8}] * 5, True),  # badly, and yet
        ([{"n": 2}] * 5 + [{"n": 0}] * 4, True),  # by chance
        ([{"n": 2}] * 5 + [{"n": 0}] * 5, False),
        ([{"n": 4}], False),
        ([], False),
    ],
)
def test_who_serves_something_is_there(windows: list[dict], there: bool):
    assert found(*usual(), *since(*windows)).answers is there


def test_it_is_asked_for_more_where_a_third_of_the_windows_is_above_the_range():
    above = [{"n": 25, "high": HIGH, "took": 0.1}] + [{"n": 4, "high": HIGH, "took": 0.1}] * 2
    assert found(*usual(high=HIGH, took=0.1), *since(*above)).demand
    assert not found(*usual(high=HIGH, took=0.1), *since(*above, {"n": 4, "high": HIGH, "took": 0.1})).demand


def held(t: float, requests: float, high: float = 12.0) -> EvidenceFrame:
    frame = metrics(T0 + int(t * S), in_flight=requests)
    at = BY_SIGNAL[Signal.METRICS].index("in_flight")
    frame.high[0, at], frame.low[0, at] = high, 0.0
    return frame


@pytest.mark.parametrize(
    ("before", "since_onset", "took", "conduct"),
    [
        (1.0, (40.0, 80.0, 120.0, 160.0), 0.03, WORSE),
        (1.0, (3.0, 2.0, 4.0), 0.03, AS_BEFORE),
        (1.0, (80.0, 80.0, 80.0, 9.0), 0.03, AS_BEFORE),  # they are done
        (3.0, (16.0, 17.0, 18.0, 19.0), 1.2, AS_BEFORE),  # each takes a second or more
        (80.0, (150.0, 180.0, 190.0, 199.0), 0.03, AS_BEFORE),  # streams
    ],
)
def test_requests_that_do_not_end_are_its_own_though_all_that_end_do_as_before(
    before: float, since_onset: tuple[float, ...], took: float, conduct: Conduct
):
    """One of several instances hangs: what the others answer says nothing of it."""
    looks = [held(t, before) for t in range(-20, 0)] + [held(t, n) for t, n in enumerate(since_onset)]
    result = found(*usual(took=took), *looks, *since(*[{"took": took}] * 5))
    assert result.conduct is conduct
    assert ("those that end account for fewer" in result.text) is (conduct is WORSE)


def test_requests_in_flight_of_who_counts_none_that_end_say_nothing():
    looks = [held(t, 3.0) for t in range(-20, 0)] + [held(t, 90.0) for t in range(5)]
    assert found(*looks).conduct is Conduct.UNKNOWN


@pytest.mark.parametrize(("above", "of", "demand"), [(0, 3, False), (1, 3, True), (1, 4, False), (3, 3, True)])
def test_without_a_past_a_third_of_the_windows_above_the_range_is_more(above: int, of: int, demand: bool):
    result = found(*since(*[{"n": 25 if i < above else 8, "high": HIGH, "took": 0.1} for i in range(of)]))
    assert (result.demand, result.times) == (demand, 1.0), "how many times the usual is not known"


@pytest.mark.parametrize(("at", "blame"), [(-1.0, Blame.UNKNOWN), (-0.5, Blame.NEW), (0.0, Blame.NEW)])
def test_a_window_in_which_the_onset_is_counts_as_since_for_what_is_asked_for(at: float, blame: Blame):
    """All that it was asked for until then was of known routes, and nothing in that window is."""
    rows = rows_of([*(known(f, 1.0) for f in usual()[:-1]), known(second(at, 8), 0.0)], "cart", Signal.SPANS)
    assert asked_mix(rows, T0).latency is blame


@pytest.mark.parametrize(
    ("looks", "conduct"),
    [
        ((3e8, 3e8, 5e8), WORSE),
        ((5e8, 5e8, 3e8), AS_BEFORE),  # it was short, and is no longer
        ((3e8, 3e8, 3e8, 5e8), AS_BEFORE),
        ((3e8,) * 20 + (5e8,) * 4, WORSE),  # the latest ten looks count
        ((5e8,) * 20 + (3e8,) * 7 + (5e8,) * 3, AS_BEFORE),
        ((3e8, math.nan, 3e8, 5e8, math.nan), WORSE),
    ],
)
def test_a_resource_is_short_where_it_is_so_now_and_was_so_for_a_while(looks: tuple[float, ...], conduct: Conduct):
    told = [metrics(T0 + (i - len(looks)) * S, memory_bytes=value) for i, value in enumerate(looks)]
    assert found(*usual(), *since({}, {}), *told).conduct is conduct


@pytest.mark.parametrize(
    ("looks", "hot"),
    [((0.3, 0.3, 0.7), True), ((0.3, 0.3, 0.3, 0.7), False), ((0.7, 0.3), False), ((0.7, 0.7, 0.5), False)],
)
def test_a_hot_processor_is_a_reason_to_scale_who_counts_no_requests(looks: tuple[float, ...], hot: bool):
    """Who counts them, and is asked for no more than usual, is busy with something else."""
    told = [metrics(T0 + (i - len(looks)) * S, cpu_utilization=value) for i, value in enumerate(looks)]
    assert found(*told).demand is hot
    counted = found(*usual(), *since({}, {}), *told)
    assert (counted.conduct, counted.demand) == (AS_BEFORE, False)


def requests_told(t: int, rate: float, error: float) -> EvidenceFrame:
    """A look at the requests of `cart` as its own metrics count them."""
    columns = BY_SIGNAL[Signal.METRICS]
    said = {"metric_request_rate": rate, "metric_error_rate": error}
    row, blank = [said.get(c, math.nan) for c in columns], [math.nan] * len(columns)
    return frame_of("metrics", T0 + t * S, ("cart",), [row], [int(rate)], low=blank, high=blank)


@pytest.mark.parametrize(("error", "conduct"), [(0.5, WORSE), (0.0, AS_BEFORE)])
def test_its_own_metrics_tell_of_its_requests_as_well(error: float, conduct: Conduct):
    frames = [requests_told(t, 8.0, 0.0 if t < 0 else error) for t in range(-60, 5)]
    assert found(*frames).conduct is conduct


@pytest.mark.parametrize(
    ("heard", "after", "young"), [((8,), 3, True), ((8, 8), 3, False), ((8,), 11, False), ((), 3, True)]
)
def test_a_moment_later_more_is_known(heard: tuple[int, ...], after: int, young: bool):
    others = [second(t, 8, service="web") for t in range(after + 1)]
    assert found(*usual(n=1), *since(*({"n": n // 4} for n in heard)), *others).young is young


def test_who_is_called_most_in_vain_is_named_over_all_windows():
    """By requests of all seconds together, each row as it was told last."""
    failing = [(0, "stock", 6.0), (1, "stock", 6.0), (0, "pay", 9.0), (2, "pay", 1.0), (2, "stock", 0.0)]
    frames = [blamed(T0 + t * S, 20, n, ("cart", peer)) for t, peer, n in failing]
    frames.insert(0, blamed(T0, 20, 20.0, ("cart", "pay")))
    frames += [second(t, 20, failed=8) for t in range(-20, 3)]
    told = handed_on(frames, "cart", T0)
    assert told == "22 of its 24 requests that failed did so in calls of its own, most to stock"


@pytest.mark.parametrize(("looks", "windows", "early"), [(4, 20, True), (4, 19, False), (0, 20, False)])
def test_a_look_of_metrics_reaches_back_where_spans_tell_of_five_times_as_many_windows(
    looks: int, windows: int, early: bool
):
    """Then the look that is told just after the onset is of before it, too, and is not heard."""
    told = [requests_told(-5 * n, 8.0, 0.0) for n in range(1, looks + 1)]
    frames = [*usual(windows), *told, *since({}, {}, {}, {}), requests_told(1, 80.0, 1.0)]
    assert _reaches_back({s: rows_of(frames, "cart", s) for s in (Signal.SPANS, Signal.METRICS)}, T0) is early


def test_its_processor_before_the_onset_is_of_looks_that_began_before_it():
    frames = [metrics(T0 + t * S, cpu_utilization=0.1 * (t + 5)) for t in range(-4, 3)]
    found_before = cpu_before(rows_of(frames, "cart", Signal.METRICS), T0)
    assert found_before.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert cpu_before(None, T0).tolist() == []
    assert cpu_before(rows_of(usual(), "cart", Signal.SPANS), T0).tolist() == []


def routed(frame: EvidenceFrame, n: float, level: float, pace: float = 0.0) -> EvidenceFrame:
    """Of the requests of a window, so many of known routes: their usual time (its logarithm) and how they differ from it."""
    return replace(frame, aside=np.array([[n, level * n, pace * n]]))


@pytest.mark.parametrize(
    ("levels", "several"),
    [
        ((17.0, 17.0401, 17.0, 17.0401), True),  # a standard deviation of two hundredths
        ((17.0, 17.039, 17.0, 17.039), False),
        ((17.0, 17.4, 17.0), False),  # too few windows to tell
        ((17.0,) * 8, False),
    ],
)
def test_a_service_has_several_operations_where_what_is_usual_varies(levels: tuple[float, ...], several: bool):
    before = [routed(second(t - len(levels), 8), 8.0, level) for t, level in enumerate(levels)]
    since_then = [routed(second(t, 8), 8.0, 17.0 + t) for t in range(4)]
    nothing_known = [routed(second(-20, 8), 0.0, 0.0)]
    rows = rows_of([*nothing_known, *before, *since_then], "cart", Signal.SPANS)
    assert rows is not None
    assert _several(rows, T0) is several
    told = rows_of(usual(), "cart", Signal.SPANS)
    assert told is not None
    assert not _several(told, T0), "frames that tell of no routes"


def test_new_routes_that_are_as_quick_as_the_old_answer_as_before():
    before = [known(f, 1.0) for f in usual()]
    result = found(*before, *(known(f, 0.0) for f in since(*[{}] * 5)))
    assert (result.conduct, result.text[:19]) == (AS_BEFORE, "it answers as befor")


def test_slower_routes_that_are_asked_for_instead_answer_as_before():
    """A page that takes ten times as long as the others, and always did."""
    before = [routed(f, 8.0, 17.0) for f in usual()]
    after = [routed(f, 8.0, 17.0 + math.log(10)) for f in since(*[{"took": 0.3}] * 5)]
    result = found(*before, *after)
    assert result.conduct is AS_BEFORE
    assert result.text.startswith("each of its routes takes as long as before: ")
    assert not result.new_routes
    slower = [routed(f, 8.0, 17.0, pace=8.0) for f in since(*[{"took": 0.3}] * 5)]
    assert found(*before, *slower).conduct is WORSE


def test_how_many_times_the_usual_it_is_asked_for_is_a_figure_or_none():
    def more(*frames: EvidenceFrame, least: float = 1.5) -> float:
        return _asked_more(rows_of(frames, "cart", Signal.SPANS), FACES[0], T0, least)

    assert more(*usual(), *since(*[{"n": 24}] * 4)) == 3.0
    assert more(*usual(), *since(*[{"n": 8}] * 4)) == 0.0
    assert more(*usual()) == 0.0
    assert more() == 0.0
    assert more(*since(*[{"n": 25, "high": HIGH}] * 3)) == math.inf
    assert more(*since(*[{"n": 8, "high": HIGH}] * 3)) == 0.0
    bore = [second(t, 24) for t in range(-60, -40)]
    assert more(*bore, *usual(40), *since(*[{"n": 24}] * 4)) == 0.0, "it bore as many before"
    assert more(*usual(), *since(*[{"n": 12}] * 10)) == 0.0, "by half, and no more than that"
    assert more(*usual(), *since(*[{"n": 13}] * 10)) == pytest.approx(13 / 8)


@pytest.mark.parametrize(("errors", "failed"), [({}, 0), ({f.ERROR_RATE: np.array([0.0, 0.25, 0.0])}, 2)])
def test_of_who_does_not_tell_of_failures_none_are_told(errors: dict, failed: int):
    rows = ServiceRows(np.arange(3), 1.0, np.full(3, 8.0), np.zeros((3, 4)), errors, {}, {})
    assert _told(rows, FACES[0]) == f"24 requests in 3 s, {failed} failed"
