"""What spans and metrics count of one service's requests, side by side: from which numbers on, up to when, and what a difference means."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from contracts.units import SECOND as S
from streams.windows.counted import LONGEST_NS, PastShare, ServiceCounts

T0 = 1000


def counted(
    seconds: int,
    *,
    spans: Callable[[int], float],
    requests: Callable[[int], float],
    every: int = 1,
    offsets: tuple[int, ...] = (0,),
    failed: float = 0.0,
    failures: float = 0.0,
    counts: ServiceCounts | None = None,
    begin: int = 0,
) -> ServiceCounts:
    """A service second by second: its requests by spans, and those that its instances' metrics count, each at its own time."""
    counts = counts or ServiceCounts(S)
    for second in range(begin, begin + seconds):
        counts.take_spans((T0 + second) * S, spans(second), failed, spans(second))
        for offset in offsets:
            first = second + 1 - every
            if (second + 1 + offset) % every == 0 and first >= begin:
                asked = sum(requests(s) for s in range(first, second + 1)) / len(offsets)
                told = (T0 + first) * S, (T0 + second + 1) * S, asked, failures * every / len(offsets)
                counts.take_metrics([told])
    return counts


def test_an_interval_is_spread_over_the_windows_it_covers_and_what_it_cuts_is_uncertain() -> None:
    counts = ServiceCounts(S)
    counts.take_metrics([(10 * S + S // 2, 13 * S + S // 2, 6.0, 3.0)])
    parts = {10: 1 / 6, 11: 1 / 3, 12: 1 / 3, 13: 1 / 6}
    once = {w: pytest.approx((6 * p, 3 * p, 6 * p * (1 - p))) for w, p in parts.items()}
    assert counts.requests == once
    counts.take_metrics([(13 * S + S // 2, 14 * S, 4.0, 0.0)])
    assert counts.requests == once | {13: pytest.approx((5.0, 0.5, 6 / 6 * 5 / 6))}, "all of an interval is certain"
    assert (counts.ends, counts.pace_ns) == ([13 * S + S // 2, 14 * S], 3 * S)


@pytest.mark.parametrize(("length_ns", "taken"), [(-S, False), (0, False), (LONGEST_NS, True), (LONGEST_NS + 1, False)])
def test_of_intervals_that_are_too_long_or_none_nothing_is_believed(length_ns: int, taken: bool) -> None:
    counts = ServiceCounts(S)
    counts.take_metrics([(500 * S, 500 * S + length_ns, 10.0, 0.0)])
    assert (bool(counts.requests), bool(counts.ends), counts.pace_ns > 0) == (taken, taken, taken)


def test_a_share_is_known_from_sixty_requests_over_most_of_an_interval() -> None:
    def after(seconds: int, each: float, every: int = 1) -> float:
        return counted(seconds, spans=lambda _: each / 2, requests=lambda _: each, every=every).usual_share

    assert math.isnan(after(6, 10.0))
    assert after(10, 10.0) == pytest.approx(0.5)
    assert math.isnan(after(60, 0.5)), "thirty requests"
    assert after(250, 0.5) == pytest.approx(0.5)

    def of_one_interval(first: int) -> float:
        """Of half a minute, in which spans were seen from one second on, which is not known to be whole."""
        counts = ServiceCounts(S)
        for second in range(first, 30):
            counts.take_spans((T0 + second) * S, 5.0, 0.0, 5.0)
        counts.take_metrics([(T0 * S, (T0 + 30) * S, 300.0, 0.0)])
        return counts.usual_share

    assert of_one_interval(2) == pytest.approx(0.5)
    assert math.isnan(of_one_interval(3))


def test_metrics_that_count_fewer_requests_than_there_are_spans_are_no_witness() -> None:
    def share(spans: float) -> float:
        return counted(100, spans=lambda _: spans, requests=lambda _: 100.0).usual_share

    assert share(114.0) == pytest.approx(1.14)
    assert math.isnan(share(116.0))


def test_what_was_seen_loses_half_its_weight_in_two_minutes() -> None:
    counts = counted(2000, spans=lambda _: 5.0, requests=lambda _: 10.0)
    assert counts.past.seconds == pytest.approx(2 / (1 - 0.5 ** (2 / 120)), rel=1e-3), "compared every two seconds"
    assert (counts.usual_rate, counts.usual_share, counts.rate) == pytest.approx((10.0, 0.5, 10.0))
    assert len(counts.spans) <= 4 * 150 + 1 >= len(counts.requests), "no more is kept than is looked at"


def test_failures_stand_for_no_less_than_themselves_and_few_for_nothing() -> None:
    def stands_for(failed: float, failures: float) -> float:
        return ServiceCounts(S, failed=failed, failures=failures).stands_for

    assert stands_for(4.0, 12.0) == 3.0
    assert stands_for(5.0, 4.0) == 1.0
    assert stands_for(10.0, 0.0) == 1.0, "metrics that don't say what failed"
    assert math.isnan(stands_for(2.9, 12.0))
    assert math.isnan(stands_for(3.0, 2.9)), "too few by metrics, though as many as by spans"
    counts = counted(60, spans=lambda _: 10.0, requests=lambda _: 20.0, failed=1.0, failures=4.0)
    assert counts.stands_for == pytest.approx(4.0)
    counts.leapt()
    assert (counts.failed, counts.failures) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("pace_s", "late_s", "other", "quick"),
    [
        (5.0, 20.0, True, True),  # twice its pace, and ten seconds
        (5.0, 20.1, False, False),
        (5.1, 20.0, True, False),
        (60.0, 130.0, True, False),
        (60.0, 130.1, False, False),
    ],
)
def test_metrics_are_believed_as_long_as_they_come(pace_s: float, late_s: float, other: bool, quick: bool) -> None:
    counts = ServiceCounts(S, lengths=[round(pace_s * S)], compared=T0, other=True)
    now_ns = T0 * S + round(late_s * S)
    assert (counts.is_other(now_ns), counts.is_quick(now_ns)) == (other, quick)
    assert not ServiceCounts(S, compared=T0).is_quick(now_ns), "it has no metrics"


def test_metrics_are_waited_for_until_they_agree_or_have_ceased() -> None:
    since = (T0 + 100) * S
    known = counted(100, spans=lambda _: 5.0, requests=lambda _: 10.0, every=5)
    assert known.waited_for(since, since + 20 * S, few=False)
    assert not known.waited_for(since, since + 20 * S + 1, few=False)
    slow = counted(100, spans=lambda _: 5.0, requests=lambda _: 10.0, every=10)
    assert [slow.waited_for(since, since + 30 * S, few=few) for few in (False, True)] == [False, True]
    nothing = ServiceCounts(S, lengths=[S])
    assert not nothing.waited_for(since, since, few=True), "what share has spans is not known"
    more = counted(20, spans=lambda _: 20.0, requests=lambda _: 40.0, every=5, counts=known, begin=100)
    assert more.agrees(since)
    assert not more.waited_for(since, since + S, few=False)


def test_as_far_as_all_instances_have_come_is_compared() -> None:
    def compared(offsets: tuple[int, ...]) -> int:
        return counted(40, spans=lambda _: 9.0, requests=lambda _: 9.0, every=6, offsets=offsets).compared - T0

    assert compared((0,)) == 36, "the end of its latest interval"
    assert compared((0, 2)) == 34, (
        "the other's came at 40, its next one ends a pace later: what it tells of until then is not known"
    )
    assert compared((0, 2, 4)) == 34


@pytest.mark.parametrize("every", [1, 5, 15])
def test_a_sampler_that_keeps_another_share_is_told_from_other_traffic(every: int) -> None:
    def usual(*, spans: float, requests: float) -> ServiceCounts:
        counts = counted(120, spans=lambda _: 30.0, requests=lambda _: 60.0, every=every)
        return counted(60, spans=lambda _: spans, requests=lambda _: requests, every=every, counts=counts, begin=120)

    since = (T0 + 130) * S
    for fewer_or_more in (usual(spans=6.0, requests=60.0), usual(spans=60.0, requests=60.0)):
        assert (fewer_or_more.other, fewer_or_more.agrees(since)) == (True, False)
        assert fewer_or_more.usual_share == pytest.approx(0.5, abs=0.01), "what is usual is not learnt meanwhile"
    for spans, requests in ((6.0, 12.0), (150.0, 300.0), (30.0, 60.0)):
        asked = usual(spans=spans, requests=requests)
        assert (asked.other, asked.agrees(since)) == (False, True)
        assert asked.rate == pytest.approx(requests)
    for spans, requests in ((30.0, 120.0), (30.0, 35.0)):  # what has no spans is asked for more, or less
        assert not usual(spans=spans, requests=requests).other


def test_metrics_that_count_seconds_later_are_no_other_share() -> None:
    """A surge that metrics tell of five seconds after its spans."""

    def surge(s: float) -> float:
        return 240.0 if 120 <= s < 132 else 24.0

    counts, others = ServiceCounts(S), []
    for second in range(160):
        counted(1, spans=surge, requests=lambda s: surge(s - 5), counts=counts, begin=second)
        others.append(counts.other)
    assert not any(others)


def test_a_snapshot_is_the_same() -> None:
    counts = counted(90, spans=lambda s: 5.0 + s % 3, requests=lambda _: 10.0, every=5, offsets=(0, 2), failed=0.1)
    again = ServiceCounts.of(counts.state())
    assert again == counts
    one, other = (counted(20, spans=lambda _: 1.0, requests=lambda _: 9.0, counts=c, begin=90) for c in (counts, again))
    assert one == other


def test_windows_of_which_only_one_of_the_two_tells_are_not_compared() -> None:
    def spans(second: int) -> float:
        return math.nan if second in (50, 51, 52) else 5.0

    counts = ServiceCounts(S)
    for second in range(100):
        if second not in (30, 31):
            counts.take_spans((T0 + second) * S, spans(second), 0.0, spans(second))
        if second not in (70, 71):
            counts.take_metrics([((T0 + second) * S, (T0 + second + 1) * S, 10.0, 0.0)])
    assert (counts.usual_share, counts.other) == (pytest.approx(0.5), False)
    assert counts.past.spans == pytest.approx(counts.past.requests / 2)


@pytest.mark.parametrize(
    ("varies", "spans", "other"),
    [
        # Of 90 that are usual in three seconds. A binomial part of 180 requests by halves varies by 45, one second's requests by 60, and
        # what is usual is known to about 2: four times the root of 107 are 41.
        (1, 17.0, False), (1, 16.0, True), (1, 45.0, False), (1, 46.0, True),  # and by half as many again
        # Of which each stands for four: three times as much again as came.
        (4, 11.0, False), (4, 10.0, True),
    ],
)  # fmt: skip
def test_another_share_is_one_that_chance_does_not_explain(varies: int, spans: float, other: bool) -> None:
    counts = ServiceCounts(S)
    for second in range(620):
        now = 30.0 if second < 600 else spans
        counts.take_spans((T0 + second) * S, now, 0.0, varies * now)
        counts.take_metrics([((T0 + second) * S, (T0 + second + 1) * S, 60.0, 0.0)])
    assert counts.other is other


@pytest.mark.parametrize(("requests", "other"), [(60.0, True), (10.0, True), (9.0, False)])
def test_of_few_requests_more_seconds_are_looked_at(requests: float, other: bool) -> None:
    """Thirty at least: here those of ten seconds would be enough, were they not fewer."""
    counts = ServiceCounts(S)
    for second in range(300 + (3 if requests > 9 else 2)):
        now = requests if second < 280 else 0.0
        counts.take_spans((T0 + second) * S, now, 0.0, now)
        counts.take_metrics([((T0 + second) * S, (T0 + second + 1) * S, requests, 0.0)])
    assert counts.rate == pytest.approx(requests)
    assert counts.other or not other


@pytest.mark.parametrize(("each", "seconds"), [(60.0, 3), (10.0, 3), (9.9, 4), (3.0, 10), (2.9, 11)])
def test_as_many_seconds_are_looked_at_as_have_thirty_requests(each: float, seconds: int) -> None:
    counts = counted(120, spans=lambda _: each / 2, requests=lambda _: each)
    assert counts.compared - counts.agreed == seconds


def test_what_is_told_last_by_spans_or_by_metrics_is_compared_at_once() -> None:
    def interval(n: int) -> tuple[int, int, float, float]:
        return (T0 + n) * S, (T0 + n + 1) * S, 10.0, 0.0

    early, late = ServiceCounts(S), ServiceCounts(S)
    early.take_metrics([interval(n) for n in range(40)])
    for second in range(40):
        early.take_spans((T0 + second) * S, 5.0, 0.0, 5.0)
        late.take_spans((T0 + second) * S, 5.0, 0.0, 5.0)
    late.take_metrics([interval(n) for n in range(40)])
    assert early.compared - T0 == late.compared - T0 == 40
    assert early.usual_share == late.usual_share == pytest.approx(0.5)


@pytest.mark.parametrize(("each", "seconds", "known"), [(0.25, 400, True), (0.15, 400, False)])
def test_no_more_is_looked_at_than_two_minutes_and_a_half(each: float, seconds: int, known: bool) -> None:
    """Of one request in four seconds thirty come in two minutes, of one in seven in more than three."""
    counts = counted(seconds, spans=lambda _: each, requests=lambda _: each)
    assert math.isfinite(counts.rate) is known


def test_six_hundred_windows_are_kept_before_those_leave_that_are_looked_at_no_more() -> None:
    counts = counted(600, spans=lambda _: 5.0, requests=lambda _: 10.0)
    assert (len(counts.spans), len(counts.requests), len(counts.ends)) == (600, 600, 600)
    counted(1, spans=lambda _: 5.0, requests=lambda _: 10.0, counts=counts, begin=600)
    oldest = T0 + 601 - 450
    assert (min(counts.spans), min(counts.requests), min(counts.ends)) == (oldest, oldest, oldest * S)


def test_so_many_intervals_are_kept_before_old_ones_leave() -> None:
    """Of several instances there may be many in a window."""
    counts = ServiceCounts(S)
    told = [((T0 - 500) * S + n, (T0 - 499) * S + n, 1.0, 0.0) for n in range(10)]
    counts.take_metrics([*told, *((T0 * S + n, (T0 + 1) * S + n, 1.0, 0.0) for n in range(4790))])
    assert len(counts.ends) == 4800
    counts.take_metrics([(T0 * S, (T0 + 1) * S, 1.0, 0.0)])
    assert (len(counts.ends), counts.ends[0], min(counts.requests)) == (4791, (T0 + 1) * S, T0)


def test_eight_intervals_tell_the_pace() -> None:
    counts = ServiceCounts(S)
    for n, length in enumerate((60, 1, 1, 1, 1, 1, 1, 1, 1)):
        counts.take_metrics([((T0 + n - length) * S, (T0 + n) * S, 1.0, 0.0)])
        assert counts.pace_ns == (60 if n < 8 else 1) * S
    assert len(counts.lengths) == 8


def test_what_is_usual_is_of_sixty_requests_and_over_most_of_the_pace() -> None:
    def share(requests: float, seconds: float, pace_s: int, spans: float = 30.0) -> float:
        return ServiceCounts(S, lengths=[pace_s * S], past=PastShare(spans, requests, seconds)).usual_share

    assert share(60.0, 9.0, 10) == 0.5
    assert math.isnan(share(59.9, 9.0, 10))
    assert math.isnan(share(60.0, 8.9, 10))
    assert share(60.0, 135.0, 1000) == 0.5, "of longer ones most of the longest that is looked at"
    assert share(60.0, 9.0, 10, spans=69.0) == 1.15
    assert math.isnan(share(60.0, 9.0, 10, spans=69.1))
    assert ServiceCounts(S, past=PastShare(1.0, 60.0, 12.0)).usual_rate == 5.0
    assert math.isnan(ServiceCounts(S).usual_rate)


def test_what_was_seen_fades_all_together() -> None:
    past = PastShare(8.0, 16.0, 4.0)
    past.fade(0.25)
    assert past == PastShare(2.0, 4.0, 1.0)


@pytest.mark.parametrize(
    ("failed", "failures", "stands"), [(3.0, 1.4, 1.0), (3.0, 1.5, None), (2.9, 1.4, None), (3.0, 3.0, 1.0)]
)
def test_metrics_that_tell_of_less_than_half_of_what_failed_do_not_tell_what_failed(
    failed: float, failures: float, stands: float | None
) -> None:
    found = ServiceCounts(S, failed=failed, failures=failures).stands_for
    assert math.isnan(found) if stands is None else found == stands


def test_that_the_rate_is_another_is_agreed_on_from_the_window_in_which_it_became_so() -> None:
    for agreed, other, found in ((T0, False, True), (T0 - 1, False, False), (T0, True, False), (0, False, False)):
        assert ServiceCounts(S, agreed=agreed, other=other).agrees(T0 * S) is found
    few = ServiceCounts(S, lengths=[LONGEST_NS], past=PastShare(50.0, 100.0, 300.0))
    assert few.waited_for(T0 * S, T0 * S, few=True)
    assert not few.waited_for(T0 * S, T0 * S, few=False)
    few.lengths = [LONGEST_NS + 1]
    assert not few.waited_for(T0 * S, T0 * S, few=True)
    few.lengths = []
    assert not few.waited_for(T0 * S, T0 * S, few=True)


def test_the_sums_of_some_windows_are_those_of_which_both_are_known() -> None:
    counts = ServiceCounts(
        S, spans={1: (4.0, 1.0, 5.0), 2: (6.0, 2.0, 7.0), 3: (math.nan, 0.0, 0.0), 4: (9.0, 0.0, 9.0)}
    )
    counts.requests = {1: (10.0, 3.0, 0.5), 2: (20.0, 4.0, 0.25), 3: (30.0, 0.0, 0.125), 5: (40.0, 0.0, 8.0)}
    assert counts._sums(1, 3) == (10.0, 3.0, 12.0, 30.0, 7.0, 0.75)
    assert counts._sums(1, 4) == (10.0, 3.0, 12.0, 30.0, 7.0, 0.5 + 0.125), "its own ends are cut"
    assert counts._sums(2, 4, 1) == (10.0, 3.0, 12.0, 50.0, 4.0, 0.25 + 0.125)
    assert counts._sums(4, 6) == (0.0, 0.0, 0.0, 0.0, 0.0, 8.0)
    assert counts._sums(3, 3) == (0.0, 0.0, 0.0, 0.0, 0.0, 0.25)


def test_of_whom_nothing_came_nothing_is_known() -> None:
    counts = ServiceCounts(S)
    assert str(counts.state()) == str([S, {}, {}, [], [], [0.0, 0.0, 0.0], [0, 0, 0, False, math.nan, 0.0, 0.0]])
    assert (counts.pace_ns, counts.other, counts.is_other(0), counts.is_quick(0)) == (0, False, False, False)
    assert math.isnan(counts.usual_share)
    assert math.isnan(counts.stands_for)


def windows(each: float, ends: list[int], seconds: int = 200) -> ServiceCounts:
    """Requests of each second; intervals ended at some of them."""
    counts = ServiceCounts(S, requests={T0 + n: (each, 0.0, 0.0) for n in range(seconds)}, lengths=[S])
    counts.ends = [(T0 + n) * S for n in ends]
    return counts


@pytest.mark.parametrize(
    ("each", "ends", "earliest", "begin"),
    [
        (30.0, list(range(101)), 0, 97),  # three seconds at least
        (5.0, list(range(101)), 0, 94),  # thirty requests
        (5.0, list(range(101)), 95, 100),  # not before that
        (5.0, list(range(101)), 94, 94),
        (5.0, [80, 85, 100], 0, 85),  # at the end of an interval
        (5.0, [93, 100], 0, 93),
        (5.0, [100], 0, 100),
        (0.2, list(range(201)), 0, 100),
        (0.5, list(range(201)), 0, 40),
    ],
)
def test_it_is_looked_back_to_the_end_of_an_interval_from_which_on_there_is_enough(
    each: float, ends: list[int], earliest: int, begin: int
) -> None:
    assert windows(each, ends)._begin(T0 + 100, T0 + earliest) == T0 + begin


@pytest.mark.parametrize(("at", "begin"), [(40, 40), (39, 190)])
def test_it_is_looked_back_for_two_minutes_and_a_half_and_not_for_longer(at: int, begin: int) -> None:
    counts = windows(0.0, list(range(201)))
    counts.requests = {T0 + at: (30.0, 0.0, 0.0)}
    assert counts._begin(T0 + 190, T0) == T0 + begin
