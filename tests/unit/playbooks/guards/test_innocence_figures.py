"""Where the statistics of innocence draw their lines: figures worked out by hand, just below each line and just beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from contracts import features as f
from contracts.frames import EvidenceFrame
from contracts.units import SECOND as S
from contracts.verdicts import Conduct, ServiceState
from playbooks.guards import Standing, standing

T0 = 1_800_000_000 * S
NAN = float("nan")
Second = tuple[int, float]
"""Requests of one second, and how many of them failed."""


def told(
    before: Sequence[Second],
    since: Sequence[Second],
    *,
    p50: tuple[Sequence[float], Sequence[float]] = ((), ()),
    high: dict[str, float] | None = None,
    more: Sequence[EvidenceFrame] = (),
) -> Standing:
    """What is said of `cart` after these seconds up to the onset at T0, and these since. Where nothing else is given its latency is
    as ever, and no range is expected of it: it is then compared with its own past alone."""
    seconds = [*before, *since]
    latency = [*(p50[0] or [0.03] * len(before)), *(p50[1] or [0.03] * len(since))]
    frames = []
    for i, ((n, failed), took) in enumerate(zip(seconds, latency, strict=True)):
        row = {f.REQUEST_RATE: float(n), f.ERROR_RATE: failed / n if n else NAN, f.LATENCY_P50: took if n else NAN}
        frames.append(frame(f.Signal.SPANS, i - len(before), row, n, high or {}))
    return standing([*frames, *more], "cart", T0)


def frame(
    signal: f.Signal, second: int, row: dict[str, float], count: int, high: dict[str, float], peer: str = ""
) -> EvidenceFrame:
    """One row of `cart`, or of calls to `peer`, at a second since the onset."""
    columns = f.BY_SIGNAL[signal]
    return EvidenceFrame(
        environment="prod", signal=signal, partition=0, window_ns=T0 + second * S, width_ns=S,
        services=("web" if peer else "cart",), peers=(peer,) if peer else (), versions=("",), attributes=("",),
        features=columns, values=np.array([[row.get(c, NAN) for c in columns]]), counts=np.array([count]),
        score=np.zeros((1, len(columns))), low=np.full((1, len(columns)), NAN),
        high=np.array([[high.get(c, NAN) for c in columns]]), p_value=np.ones(1), state=(str(ServiceState.HEALTHY),),
        notes=("",),
    )  # fmt: skip


def spread(requests: int, failed: int, seconds: int) -> list[Second]:
    """So many requests and failures in some seconds, as evenly as they go."""
    parts = [[total // seconds + (i < total % seconds) for i in range(seconds)] for total in (requests, failed)]
    return list(zip(*parts, strict=True))


def test_an_earlier_bout_of_the_same_is_not_what_is_usual() -> None:
    """It fails by turns, and is slow by turns: a minute ago for a while, and in two of the ten latest seconds."""
    well, ill = (20, 0), (20, 6)
    failing = told([*[well] * 40, *[ill] * 20, *[well] * 10], [*[ill] * 2, *[well] * 8], high={f.ERROR_RATE: 0.1})
    assert failing.conduct is Conduct.WORSE
    took = [*[0.03, 0.032] * 20, *[0.12] * 30], [*[0.12] * 2, *[0.03, 0.036] * 4]
    slow = told([well] * 70, [well] * 10, p50=took, high={f.LATENCY_P50: 0.06})
    assert slow.conduct is Conduct.WORSE
    as_ever = told([*[well] * 40, *[ill] * 20], [well] * 10, high={f.ERROR_RATE: 0.1})
    assert as_ever.conduct is Conduct.AS_BEFORE


@pytest.mark.parametrize(
    ("before", "since", "worse"),
    [
        # a of n before, b of m since: p = (a + b + 0.5) / (n + m + 1), z = (b/m - a/n) / sqrt(p (1 - p) (1/n + 1/m)), from 3.
        ((6, 600), (5, 100), False),  # p .016405, z 2.915
        ((6, 600), (6, 100), True),  # p .017832, z 3.498
        ((50, 1000), (20, 200), False),  # p .058701, z 2.746; 3.008 if what was before were certain
        ((50, 1000), (21, 200), True),  # p .059534, z 3.0008; 2.9996 without the one in n + m + 1
        ((0, 20), (4, 10), False),  # p .145161, z 2.932; 3.081 without the half
        ((0, 20), (5, 10), True),  # p .177419, z 3.379
        ((0, 20), (7, 20), False),  # p .182927, z 2.863
        ((0, 20), (8, 20), True),  # p .207317, z 3.120
        ((0, 2000), (2, 100), False),  # z 5.662, and yet two failures are too few
        ((0, 2000), (3, 100), True),  # z 7.179
        ((300, 600), (20, 100), False),  # fewer fail than before
        ((100, 100), (100, 100), False),  # all fail, as ever
    ],
)
def test_shares_of_failures_differ_from_three_standard_deviations(
    before: tuple[int, int], since: tuple[int, int], worse: bool
) -> None:
    (a, n), (b, m) = before, since
    found = told(spread(n, a, 20), spread(m, b, 10))
    assert found.conduct is (Conduct.WORSE if worse else Conduct.AS_BEFORE), found
    if worse:
        assert found.text == f"{b} of {m} requests failed since the onset, {a} of {n} before"


UNEVEN = [0.03 * float(np.exp(0.4 * (-1) ** i)) for i in range(60)]
"""Latency before whose logarithms have a standard deviation of 0.4, around 30 ms."""


@pytest.mark.parametrize(
    ("before", "since", "slower"),
    [
        # Means of logarithms: ratio from 1.2, and log ratio / (s sqrt(1/k + 1/l)) from 3 for k windows before and l since; s >= 0.05.
        ([0.03] * 60, [0.0359] * 10, False),  # ratio 1.197, z 10.5
        ([0.03] * 60, [0.0361] * 10, True),  # ratio 1.203, z 10.8
        (UNEVEN, [0.045] * 10, False),  # ratio 1.50, z 2.968
        (UNEVEN, [0.0456] * 10, True),  # ratio 1.52, z 3.065
        (UNEVEN, [0.058] * 4, True),  # ratio 1.93, z 3.191
        (UNEVEN, [0.053] * 4, False),  # ratio 1.77, z 2.754
        (UNEVEN[:4], [0.069] * 10, True),  # ratio 2.3, z 3.520
        (UNEVEN[:4], [0.058] * 10, False),  # ratio 1.93, z 2.786: few windows before are less certain, too
        ([0.03] * 3, [0.3] * 10, False),  # fewer than four windows before: what is usual is not known
        ([0.03] * 4, [0.3] * 10, True),
        ([0.03] * 60, [0.3], False),  # a single window since
        ([0.03] * 60, [0.3] * 2, True),
        ([0.3] * 60, [0.03] * 10, False),  # quicker
    ],
)
def test_latency_is_higher_from_a_fifth_and_three_standard_deviations(
    before: list[float], since: list[float], slower: bool
) -> None:
    found = told([(20, 0)] * len(before), [(20, 0)] * len(since), p50=(before, since))
    assert (found.conduct is Conduct.WORSE) == slower, found
    if slower:
        ratio = since[0] / float(np.exp(np.mean(np.log(before))))
        assert found.text == f"{f.FEATURES[f.LATENCY_P50].text} is {ratio:.2g} times the usual"


@pytest.mark.parametrize(
    ("amiss", "of", "worse"), [(1, 10, False), (3, 10, False), (4, 10, True), (1, 3, True), (3, 9, True), (2, 9, False)]
)
@pytest.mark.parametrize("name", [f.LATENCY_P50, f.ERROR_RATE])
def test_a_third_of_the_windows_above_their_range_is_not_as_before(name: str, amiss: int, of: int, worse: bool) -> None:
    since = [(100, 2 if name == f.ERROR_RATE and i < amiss else 0) for i in range(of)]
    took = [0.031 if name == f.LATENCY_P50 and i < amiss else 0.03 for i in range(of)]
    # As many failed before, so that it is the range alone that tells.
    found = told([(100, 2)] * 20, since, p50=((), took), high={f.LATENCY_P50: 0.0305, f.ERROR_RATE: 0.019})
    assert found.conduct is (Conduct.WORSE if worse else Conduct.AS_BEFORE), found
    if worse:
        worst = "0.031" if name == f.LATENCY_P50 else "0.02"
        said = f"{f.FEATURES[name].text} was above its expected range in {amiss} of {of} windows (up to {worst})"
        assert found.text == said


@pytest.mark.parametrize(
    ("windows", "requests", "conduct"),
    [
        (1, 100, Conduct.UNKNOWN),
        (2, 2, Conduct.UNKNOWN),
        (2, 4, Conduct.UNKNOWN),
        (2, 6, Conduct.AS_BEFORE),
        (5, 5, Conduct.AS_BEFORE),
        (4, 4, Conduct.UNKNOWN),
    ],
)
def test_two_windows_and_five_requests_tell_that_it_answers_as_before(
    windows: int, requests: int, conduct: Conduct
) -> None:
    found = told([(1, 0)] * 30, spread(requests, 0, windows))
    assert found.conduct is conduct, found
    if conduct is Conduct.UNKNOWN:
        assert found.text.startswith(f"it served {requests} requests since the onset: too few")
    else:
        assert found.text.startswith(f"it answers as before: {requests} requests in {windows} s, 0 failed")


@pytest.mark.parametrize(
    ("before", "since", "missing"),
    [
        ([1] * 20, [0] * 4, 0),
        ([1] * 20, [0] * 5, 5),
        ([10] * 20, [0], 10),
        ([4] * 20, [0], 0),
        ([5] * 20, [10, 0], 5),  # a single busy second since the onset tells nothing of what is usual since
        ([10] * 20, [1, 1, 1, 1, 1, 0, 0, 0, 0], 0),  # asked less since, and answering: four are no more than a pause
        ([10] * 20, [1, 1, 1, 1, 1, 0, 0, 0, 0, 0], 5),
        ([10] * 20, [2, 0, 2, 0, 0, 0], 0),  # 4 requests in the 3 seconds up to the last: 4 are missing in 3 more
        ([10] * 20, [2, 0, 2, 0, 0, 0, 0], 5),
        ([], [1, 0, 0, 0, 0], 0),
        ([], [1, 0, 0, 0, 0, 0], 5),
        ([10] * 20, [10] * 5, 0),
    ],
)
def test_who_serves_nothing_any_more_misses_five_requests(before: list[int], since: list[int], missing: int) -> None:
    found = told([(n, 0) for n in before], [(n, 0) for n in since])
    assert (found.conduct is Conduct.WORSE) == bool(missing), found
    quiet = len(since) - max((i + 1 for i, n in enumerate(since) if n), default=0)
    if missing:
        assert found.text == f"it served nothing for {quiet} s, where {missing} requests are usual"


@pytest.mark.parametrize(
    ("before", "since", "more"),
    [
        # More than 1.3 times as many, and more by three standard deviations of what was to come in these windows (Poisson), at least 3.
        ((10, 30), (71, 5), False),  # 50 were to come, 3 sqrt(50) = 21.2
        ((10, 30), (72, 5), True),
        ((100, 30), (650, 5), False),  # 500 were to come, 3 sqrt(500) = 67.1, and a third more is 650
        ((100, 30), (651, 5), True),
        ((10, 30), (19, 1), False),  # 10 were to come, 3 sqrt(10) = 9.5
        ((10, 30), (20, 1), True),
        ((0.05, 60), (3, 5), False),  # a quarter of one was to come
        ((0.05, 60), (4, 5), True),
        ((10, 30), (10, 5), False),  # less
    ],
)
def test_a_demand_is_above_the_usual(before: tuple[float, int], since: tuple[int, int], more: bool) -> None:
    found = told(spread(round(before[0] * before[1]), 0, before[1]), spread(since[0], 0, since[1]))
    assert found.demand is more


@pytest.mark.parametrize("name", [f.MEMORY_BYTES, f.QUEUE_LAG, f.RESTARTS, f.CPU, f.CPU_CORES])
@pytest.mark.parametrize(
    ("above", "told_of"),
    [
        ("..........", False),
        (".........x", False),  # one in ten
        (".......xxx", False),
        ("......xxxx", True),  # of ten it is four
        ("xxxxxxxxx.", False),  # it is over
        ("......x..", False),
        ("......xxx", True),
        ("x", True),
        ("xxxxxxxxxx.........x", False),  # the latest ten only
        ("xxxx......x.x.x....x", True),
        ("xxxxx.....x.x......x", False),
    ],
)
def test_a_resource_is_short_if_the_latest_look_and_a_third_of_the_latest_are(
    name: str, above: str, told_of: bool
) -> None:
    """What runs short is the target's own trouble; what is hot, though it is asked for no more than usual, is no demand."""
    looks = [
        frame(f.Signal.METRICS, i - len(above) + 1, {name: 7.0 if c == "x" else 5.0}, 0, {name: 6.0})
        for i, c in enumerate(above)
    ]
    found = told([(10, 0)] * 20, [(10, 0)] * 5, more=looks)
    busy = name in (f.CPU, f.CPU_CORES)
    assert (found.conduct, found.demand) == (Conduct.WORSE if told_of and not busy else Conduct.AS_BEFORE, False)
    assert told([(0, 0)] * 20, [(0, 0)] * 5, more=looks).demand is (told_of and busy), "it counts no requests"
    if told_of and not busy:
        assert found.text == f"{f.FEATURES[name].text}: 7, expected up to 6"


@pytest.mark.parametrize(
    ("before", "since", "seen"),
    [
        ((1000, 0), (4, 4), False),  # fewer than five calls
        ((1000, 0), (5, 3), True),
        ((1000, 0), (5, 2), False),  # fewer than three failures
        ((1000, 0), (40, 3), False),  # 7.5 %
        ((1000, 0), (40, 4), True),  # 10 % more than ever
        ((1000, 200), (100, 29), False),
        ((1000, 200), (100, 31), True),
        ((0, 0), (40, 4), True),
    ],
)
@pytest.mark.parametrize("peer", ["cart", "external:cart", "external:cart.shop.svc"])
def test_what_callers_see_speaks_against_it_from_a_tenth_more_failures(
    before: tuple[int, int], since: tuple[int, int], seen: bool, peer: str
) -> None:
    calls = [
        frame(f.Signal.EDGES, i - 10, {f.CALL_ERROR_RATE: failed / n}, n, {}, peer)
        for i, (n, failed) in enumerate([*spread(*before, 10), *spread(*since, 2)])
        if n
    ]
    found = told([(10, 0)] * 20, [(10, 0)] * 5, more=calls)
    n, failed = since
    if seen:
        text = f"its callers see {failed} of {n} calls fail, though it reports none of that itself"
        assert (found.conduct, found.text) == (Conduct.UNKNOWN, text)
    else:
        assert found.conduct is Conduct.AS_BEFORE


@pytest.mark.parametrize(("age_s", "known"), [(90, True), (91, False)])
def test_what_is_older_than_a_minute_and_a_half_says_nothing_of_what_is_usual(age_s: int, known: bool) -> None:
    old = frame(f.Signal.SPANS, 2 - age_s, {f.REQUEST_RATE: 10.0, f.ERROR_RATE: 0.0, f.LATENCY_P50: 0.03}, 10, {})
    found = told([], [(10, 0)] * 3, more=[old])
    assert found.conduct is (Conduct.AS_BEFORE if known else Conduct.UNKNOWN), found


@pytest.mark.parametrize(
    ("usual", "since", "last_s", "young"),
    [
        (1, [3], 9, True),  # one window with requests
        (1, [3, 3], 9, False),  # two are enough to be judged by
        (1, [3], 10, False),  # it was waited for
        (1, [], 9, True),
        (0.5, [], 9, False),  # who is asked so rarely is not waited for
    ],
)
def test_who_has_said_little_since_the_onset_is_waited_for_ten_seconds(
    usual: float, since: list[int], last_s: int, young: bool
) -> None:
    """Time goes on with the rows of others."""
    other = frame(f.Signal.SPANS, last_s, {f.REQUEST_RATE: 10.0}, 10, {})
    before = spread(round(20 * usual), 0, 20)
    found = told(before, [(n, 0) for n in since], more=[replace(other, services=("web",))])
    assert (found.conduct, found.young, found.lost) == (
        Conduct.UNKNOWN if sum(since) < 5 else Conduct.AS_BEFORE,
        young,
        not since,
    )


@pytest.mark.parametrize(("above", "of", "more"), [(1, 3, True), (3, 9, True), (2, 9, False), (3, 10, False)])
def test_a_demand_is_above_its_range_in_a_third_of_the_windows(above: int, of: int, more: bool) -> None:
    since = [(12 if i < above else 10, 0) for i in range(of)]
    assert told([(10, 0)] * 30, since, high={f.REQUEST_RATE: 11.0}).demand is more
