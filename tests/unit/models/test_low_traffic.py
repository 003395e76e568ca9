"""Low traffic looked at as a whole: what lasts beyond the usual opens, other requests, holes and dense traffic do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from contracts.events import Anomaly
from contracts.features import BY_SIGNAL, CALL_RATE, COUNT_OF, LOG_ERROR_RATE, NETWORK_GAP, Signal
from contracts.frames.feature_frame import FeatureFrame, Presence
from contracts.settings import DetectSettings
from contracts.verdicts import AnomalyPhase, ServiceState
from models.engine import DetectEngine
from models.judgement import ABOVE_QUIET, MATURE_WINDOWS, OPENS_LEVEL, SECOND, STRICTEST
from models.low_traffic.counts import fewer, more
from models.low_traffic.latency import pool_of
from models.low_traffic.reasons import TrafficLevel
from models.low_traffic.watch import LowTraffic
from models.service.pooled import Pooled
from tests.representatives import representatives

T0 = 1_700_000_000 * SECOND
ADOPT_NS = 120 * SECOND
BEFORE_S = 240
"""Seconds of quiet times: about 72 requests."""


@dataclass
class Way:
    """What a caller's requests do: how often they call, what they log, how long calls take on the way."""

    rate: float = 0.3
    calls: float = 1.0
    other: float = 0.0
    errors: float = 0.02
    gap_s: float = 0.002
    missing: bool = False
    """Rows come, but nothing is known of the calls."""


def frames(ways: list[tuple[int, Way]], seed: int = 1) -> Iterator[tuple[int, list[FeatureFrame]]]:
    """Frames of `cart`, which calls `pricing` and sometimes `stock`, second by second."""
    rng, second = np.random.default_rng(seed), 0
    for seconds, way in ways:
        for _ in range(seconds):
            served = int(rng.poisson(way.rate))
            calls, other = (int(rng.binomial(served, p)) for p in (way.calls, way.other))
            logged = 2 * served
            errors = int(rng.binomial(served, way.errors))
            gaps = [way.gap_s * float(np.exp(rng.normal(0, 0.2))) if n else np.nan for n in (calls, other)]
            yield (
                second,
                [
                    _frame(Signal.SPANS, second, ("cart",), [served], {}),
                    _frame(
                        Signal.LOGS,
                        second,
                        ("cart",),
                        [logged],
                        {LOG_ERROR_RATE: [errors / logged if logged else np.nan]},
                    ),
                    _frame(Signal.EDGES, second, ("cart", "cart"), [calls, other], {NETWORK_GAP: gaps}, way.missing),
                ],
            )
            second += 1


def _frame(signal, second, services, counts, columns, missing=False) -> FeatureFrame:
    names = BY_SIGNAL[signal]
    values = np.full((len(services), len(names)), np.nan)
    values[:, names.index(COUNT_OF[signal])] = np.nan if missing else counts
    for name, column in columns.items():
        values[:, names.index(name)] = column
    presence = [Presence.MISSING if missing else Presence.OBSERVED if n else Presence.QUIET for n in counts]
    return FeatureFrame(
        environment="shop",
        signal=signal.value,
        partition=0,
        window_ns=T0 + second * SECOND,
        width_ns=SECOND,
        revision=0,
        services=services,
        peers=("pricing", "stock") if signal is Signal.EDGES else (),
        versions=("",) * len(services),
        attributes=("",) * len(services),
        features=names,
        values=values,
        counts=np.array([0 if missing else n for n in counts], np.int64),
        notes=(),
        presence=np.array(presence, np.int8),
    )


class Player:
    """Plays frames into a watch; what it tells, with the second."""

    def __init__(self, strictness: float = 0.0) -> None:
        self.watch = LowTraffic("shop", ADOPT_NS)
        self.pools: dict[tuple[str, str], Pooled] = {}
        self.strictness = strictness

    def play(self, ways: list[tuple[int, Way]], seed: int = 1) -> list[tuple[int, Anomaly]]:
        told = []
        for second, some in frames(ways, seed):
            for frame in some:
                learn = np.ones(len(frame.services), np.bool_)
                pool = pool_of(self.pools, frame, learn)
                told += [(second, a) for a in self.watch.observe(frame, pool, learn, self.strictness)]
        return told


def play(ways: list[tuple[int, Way]], seed: int = 1) -> list[tuple[int, Anomaly]]:
    return Player().play(ways, seed)


def opened(told: list[tuple[int, Anomaly]]) -> list[tuple[int, Anomaly]]:
    return [(s, a) for s, a in told if a.phase is AnomalyPhase.OPENED]


def test_calls_that_no_longer_follow_open_and_their_return_closes() -> None:
    told = play([(BEFORE_S, Way()), (70, Way(calls=0.0)), (90, Way())])
    (second, anomaly), *more_ = opened(told)
    assert BEFORE_S < second <= BEFORE_S + 60
    assert more_ == []
    assert (anomaly.service, anomaly.peer, anomaly.detector) == ("cart", "pricing", "low-traffic")
    assert anomaly.state is ServiceState.ANOMALOUS
    assert anomaly.decades >= OPENS_LEVEL
    assert [c.feature for c in anomaly.contributions] == [CALL_RATE]
    assert anomaly.contributions[0].value < anomaly.contributions[0].low
    assert anomaly.pooled_s in (30, 60)
    assert anomaly.onset_ns == anomaly.time_ns - anomaly.pooled_s * SECOND
    assert anomaly.text.startswith("to pricing: calls 0")
    end, closed = told[-1]
    assert (closed.id, closed.phase, closed.state) == (anomaly.id, AnomalyPhase.CLOSED, ServiceState.HEALTHY)
    assert end > BEFORE_S + 70


@pytest.mark.parametrize(
    ("base", "ill"), [(Way(rate=2), Way(rate=2, errors=0.5)), (Way(rate=2), Way(rate=2, calls=0.0))]
)
def test_what_is_over_ends_by_what_came_since_and_not_when_it_leaves_the_looks(base: Way, ill: Way) -> None:
    ends = []
    for seed in range(6):
        told = play([(BEFORE_S, base), (30, ill), (120, base)], seed)
        ends += [s - BEFORE_S - 30 for s, a in told if a.phase is AnomalyPhase.CLOSED and s > BEFORE_S][:1]
    assert len(ends) == 6
    assert all(e > 0 for e in ends), "windows of before it began are no sign that it is over"
    assert sorted(ends)[4] <= 25


def test_what_lasts_does_not_end_by_chance() -> None:
    told = [e for seed in range(4) for e in play([(BEFORE_S, Way(rate=1)), (300, Way(rate=1, errors=0.3))], seed)]
    assert len(opened(told)) >= 3
    assert sum(a.phase is AnomalyPhase.CLOSED and s > BEFORE_S for s, a in told) <= 1


def test_other_calls_instead_are_other_requests_and_no_fault() -> None:
    assert play([(BEFORE_S, Way(calls=0.9, other=0.1)), (70, Way(calls=0.1, other=0.9))]) == []


def test_error_records_open() -> None:
    (second, anomaly), *_ = opened(play([(BEFORE_S, Way()), (70, Way(errors=0.9))]))
    assert second <= BEFORE_S + 45
    assert [c.feature for c in anomaly.contributions] == [LOG_ERROR_RATE]
    assert (anomaly.service, anomaly.peer) == ("cart", "")
    assert anomaly.contributions[0].value > anomaly.contributions[0].high


def test_where_more_is_asked_for_hard_faults_open_still_and_what_is_marginal_does_not() -> None:
    for way in (Way(errors=0.9), Way(calls=0.0)):
        (usual, _), (strictest, anomaly) = (
            opened(Player(s).play([(BEFORE_S, Way()), (70, way)]))[0] for s in (0.0, STRICTEST)
        )
        assert usual <= strictest <= BEFORE_S + 60
        assert anomaly.decades >= OPENS_LEVEL + STRICTEST
    watch = LowTraffic("shop", ADOPT_NS)
    watch._busy = MATURE_WINDOWS
    assert not watch._unusual("cart", OPENS_LEVEL + 0.9, OPENS_LEVEL + 1.0)
    assert watch._unusual("cart", OPENS_LEVEL + 1.0, OPENS_LEVEL + 1.0)


def test_time_lost_between_services_opens_where_it_is_noticed() -> None:
    (second, anomaly), *_ = opened(play([(BEFORE_S, Way()), (70, Way(gap_s=0.2))]))
    assert second <= BEFORE_S + 60
    assert (anomaly.peer, anomaly.contributions[0].feature) == ("pricing", NETWORK_GAP)
    assert play([(BEFORE_S, Way()), (70, Way(gap_s=0.006))]) == []  # three times as much, and nobody notices


@pytest.mark.parametrize("seed", representatives(range(4), 0))
def test_quiet_times_open_nothing(seed: int) -> None:
    assert play([(400, Way(calls=0.8, other=0.3, errors=0.1))], seed) == []


def test_what_is_not_known_is_no_sign_that_nothing_happened() -> None:
    assert play([(BEFORE_S, Way()), (120, Way(missing=True))]) == []


def test_services_with_much_traffic_are_left_to_their_windows() -> None:
    assert play([(120, Way(rate=20.0)), (60, Way(rate=20.0, calls=0.0))]) == []


def test_a_window_counts_once_and_an_idle_environment_is_not_looked_at() -> None:
    player, looks = Player(), []
    player.watch._levels = lambda width_ns: looks.append(width_ns) or {}
    busy = [f for _, (f, *_) in frames([(20, Way(rate=50.0))])]
    for frame in (*busy, *busy):
        player.watch.observe(frame, None, np.ones(1, np.bool_))
    assert player.watch._busy == 20
    assert len(looks) == 4  # each five seconds of event time, however often the same windows come


def test_a_level_teaches_what_is_quiet_once_it_is_old_and_then_only_more_stands_out() -> None:
    watch = LowTraffic("shop", ADOPT_NS)
    watch._busy, high = MATURE_WINDOWS, 2 * OPENS_LEVEL
    assert watch._unusual("cart", OPENS_LEVEL)
    watch._teach("cart", high, SECOND)
    assert watch._unusual("cart", high)  # it may be the beginning of something
    watch._newest = 61
    watch._teach("cart", 0.0, SECOND)
    assert not watch._unusual("cart", high)
    assert watch._unusual("cart", ABOVE_QUIET * high)


def test_of_what_was_seen_for_a_short_time_more_is_asked() -> None:
    watch = LowTraffic("shop", ADOPT_NS)
    watch._busy = MATURE_WINDOWS // 2
    assert not watch._unusual("cart", 1.9 * OPENS_LEVEL)
    assert watch._unusual("cart", 2 * OPENS_LEVEL)


def test_while_an_anomaly_is_on_no_other_opens_for_the_same_service() -> None:
    told = play([(BEFORE_S, Way()), (50, Way(calls=0.0)), (60, Way(calls=0.0, errors=0.9))])
    assert len(opened(told)) == 1


def test_where_no_requests_come_any_more_it_is_not_said_to_be_well() -> None:
    told = play([(BEFORE_S, Way()), (60, Way(calls=0.0)), (90, Way(rate=0.0))])
    assert told[-1][1].phase is AnomalyPhase.CLOSED
    assert told[-1][1].state is ServiceState.STALE


def test_calls_that_are_never_made_again_become_usual_and_errors_do_not() -> None:
    for way, ends in ((Way(calls=0.0), True), (Way(errors=0.9), False)):
        told = play([(BEFORE_S, Way()), (600, way)])
        assert (told[-1][1].phase is AnomalyPhase.CLOSED) is ends, told


def test_what_may_not_be_learnt_stays_unusual() -> None:
    player = Player()
    for _, some in frames([(BEFORE_S, Way(calls=0.0))]):
        for frame in some:
            player.watch.observe(frame, None, np.zeros(len(frame.services), np.bool_))
    assert (
        player.watch._calls.compare(player.watch._requests, np.zeros(2, np.intp), *player.watch._windows(30)).served[0]
        < 20
    )


def test_a_snapshot_goes_on_identically() -> None:
    ways = [(BEFORE_S, Way()), (90, Way(calls=0.0, errors=0.5)), (90, Way())]
    whole, cut = Player(), BEFORE_S + 40
    told = whole.play(ways)
    first, again = Player(), []
    for second, some in frames(ways):
        if second == cut:
            first.watch = LowTraffic.of(first.watch.plain(), ADOPT_NS)
        for frame in some:
            learn = np.ones(len(frame.services), np.bool_)
            again += [(second, a) for a in first.watch.observe(frame, pool_of(first.pools, frame, learn), learn)]
    assert told
    assert again == told


def test_the_engine_tells_it_like_any_anomaly_and_says_so_of_the_service() -> None:
    engine = DetectEngine(0, DetectSettings(detectors=("bank",)))
    told, states = [], set()
    for second, some in frames([(BEFORE_S, Way()), (70, Way(calls=0.0))]):
        for frame in some:
            evidence, anomalies = engine.observe(frame, T0 + (second + 1) * SECOND)
            told += [a for a in anomalies if a.detector == "low-traffic"]
            if frame.signal == Signal.SPANS and any(a.phase is AnomalyPhase.OPENED for a in told):
                states.add(evidence.state[0])
        if second == BEFORE_S:
            state = engine.snapshot()
            engine = DetectEngine(0, DetectSettings(detectors=("bank",)))
            engine.restore(state)
    assert [a.phase for a in told] == [AnomalyPhase.OPENED]
    assert states == {ServiceState.ANOMALOUS}
    assert engine.states("shop")["cart"] is ServiceState.ANOMALOUS
    engine.forget("shop")
    assert engine.states("shop") == {}


def test_corrections_are_not_counted_again() -> None:
    player = Player()
    for _, some in frames([(BEFORE_S, Way())]):
        for frame in some:
            fixed = dataclasses.replace(frame, revision=1, counts=frame.counts + 50)
            assert player.watch.observe(fixed, None, np.ones(len(frame.services), np.bool_)) == []
    assert player.watch._busy == 0


def test_chances_of_counts() -> None:
    stats = pytest.importorskip("scipy.stats")
    for counted, expected, known in ((0, 8, 12), (2, 26, 72), (3, 4, 500), (40, 60, 100)):
        shape = 1 / (0.2**2 + 1 / known)
        chance = stats.nbinom.cdf(counted, shape, shape / (shape + expected))
        given = (np.array([float(x)]) for x in (counted, expected, known))
        assert fewer(*given)[0] == pytest.approx(-np.log10(chance), rel=1e-6)
        chance = stats.nbinom.sf(counted - 1, shape, shape / (shape + expected))
        given = (np.array([float(x)]) for x in (counted, expected, known))
        assert more(*given)[0] == pytest.approx(-np.log10(chance), rel=1e-6, abs=1e-9)
    assert fewer(np.array([1e6]), np.array([1e6]), np.array([10.0]))[0] == 0


def test_levels_are_of_the_span_that_says_most() -> None:
    watch = Player()
    watch.play([(BEFORE_S, Way())])
    assert all(isinstance(level, TrafficLevel) for level in watch.watch._levels(SECOND).values())
