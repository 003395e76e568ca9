"""Operations are judged against their own past: few requests say nothing, one that stands out is told by name, a slow service is not."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.events import Anomaly, decode, encode
from contracts.features import OPERATION_SUMS, OPERATIONS
from contracts.frames import FeatureFrame
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase
from models.judgement import STRICTEST
from models.operation_watch import OperationWatch

T0, WIDTH_NS = 1_700_000_000 * SECOND, 5 * SECOND
USUAL = np.log(0.05 * SECOND)


class Service:
    """Requests of some operations, each at a rate per window; a window's mean pace scatters, and durations are lognormal."""

    def __init__(self, rates: dict[str, float], seed: int = 1) -> None:
        self.rates, self._rng, self._window = rates, np.random.default_rng(seed), 0
        self.watch, self.strictness = OperationWatch("prod"), 0.0

    def run(self, windows: int, slower: dict[str, float] | None = None, fails: dict[str, float] | None = None) -> list:
        """Anomalies of so many windows in which operations are slower by some standard deviations, or fail by a share."""
        told = []
        for _ in range(windows):
            self._window += 1
            rows = {
                name: self._sums(rate, (slower or {}).get(name, 0.0), (fails or {}).get(name, 0.002))
                for name, rate in self.rates.items()
            }
            rows = {name: sums for name, sums in rows.items() if sums[0]}
            told += self.watch.observe(frame(self._window, rows), np.ones(len(rows), np.bool_), self.strictness)
        return told

    def _sums(self, rate: float, slower: float, fails: float) -> list[float]:
        n = self._rng.poisson(rate)
        pace = np.clip(self._rng.standard_t(6, n) + self._rng.normal(0, 0.25) + slower, -8, 8)
        return [n, self._rng.binomial(n, fails), n, n * USUAL, pace.sum(), n * USUAL + 0.4 * pace.sum()]


def frame(window: int, rows: dict[str, list[float]]) -> FeatureFrame:
    blank = ("",) * len(rows)
    return FeatureFrame(
        environment="prod", signal=OPERATIONS, partition=0, window_ns=T0 + window * WIDTH_NS, width_ns=WIDTH_NS, revision=0,
        services=("shop",) * len(rows), peers=tuple(rows), versions=blank, attributes=blank, features=OPERATION_SUMS,
        values=np.array(list(rows.values()), np.float64).reshape(len(rows), 6), counts=np.zeros(len(rows), np.int64), notes=(),
    )  # fmt: skip


RATES = {"GET /": 200.0, "POST /buy": 60.0, "GET /search": 6.0, "GET /report": 0.5}


@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_nothing_is_told_of_what_goes_on_as_before(seed: int):
    assert Service({**RATES, **{f"GET /{i}": 3.0 for i in range(30)}}, seed).run(360) == []


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_one_that_stands_out_is_told_and_is_over(seed: int):
    service = Service(RATES, seed)
    assert service.run(60) == []
    opened = service.run(6, slower={"GET /search": 4.0})
    assert [(a.service, a.operation, a.phase) for a in opened] == [("shop", "GET /search", AnomalyPhase.OPENED)]
    assert "GET /search of shop takes" in opened[0].text
    closed = service.run(30)
    assert [(a.operation, a.phase, a.id) for a in closed] == [("GET /search", AnomalyPhase.CLOSED, opened[0].id)]


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_one_that_fails_is_told(seed: int):
    service = Service(RATES, seed)
    service.run(60)
    found = service.run(8, fails={"GET /search": 0.6})
    assert {a.operation for a in found} == {"GET /search"}
    assert [decode(Anomaly, encode(a)) for a in found] == found, "what is told can be sent"


@pytest.mark.parametrize("seed", [11, 12, 13])
@pytest.mark.parametrize(
    "ill", [{"slower": {"GET /search": 4.0}}, {"fails": {"GET /search": 0.9}}], ids=["slower", "fails"]
)
def test_one_that_stands_out_is_told_as_soon_where_more_is_asked_for(seed: int, ill: dict[str, dict[str, float]]):
    found = []
    for strictness in (0.0, STRICTEST):
        service = Service(RATES, seed)
        service.strictness = strictness
        service.run(60)
        found.append(service.run(8, **ill))
    assert found[0] == found[1] != []


def test_what_just_stands_out_is_not_told_where_more_is_asked_for():
    told = []
    for strictness in (0.0, STRICTEST):
        service = Service(RATES, 11)
        service.strictness = strictness
        service.run(60)
        told.append(service.run(3, slower={"GET /search": 2.5}))
    assert [len(t) for t in told] == [1, 0]


def test_a_service_that_is_slow_or_fails_on_all_is_not_told_by_operation():
    service = Service(RATES)
    service.run(60)
    assert service.run(12, slower=dict.fromkeys(RATES, 4.0)) == []
    service = Service(RATES)
    service.run(60)
    assert service.run(12, fails=dict.fromkeys(RATES, 0.5)) == []


def test_few_slow_requests_say_nothing():
    service = Service(RATES)
    service.run(60)
    assert service.run(4, slower={"GET /report": 8.0}) == []


def test_what_nobody_asks_for_any_more_is_over_and_not_called_well():
    service = Service(RATES)
    service.run(60)
    assert service.run(6, slower={"GET /search": 4.0})
    service.rates = {k: v for k, v in RATES.items() if k != "GET /search"}
    (over,) = service.run(100)
    assert (over.phase, str(over.state)) == (AnomalyPhase.CLOSED, "stale")


def test_a_snapshot_goes_on_as_before():
    one = Service(RATES)
    one.run(60)
    two = Service(RATES)
    two.run(60)
    two.watch = OperationWatch.of(two.watch.state())
    assert one.run(10, slower={"GET /search": 4.0}) == two.run(10, slower={"GET /search": 4.0})


@pytest.mark.parametrize("seed", [11, 12, 13, 14, 15])
@pytest.mark.parametrize("how", ["fails", "slower"])
def test_one_that_is_asked_little_is_over_soon_after_it_is_well(seed: int, how: str):
    """Two requests in five seconds: the half minute that is remembered holds its illness for longer than it is ill."""
    service = Service({**RATES, "GET /seldom": 2.0}, seed)
    service.run(100)
    ill = {how: {"GET /seldom": 0.95 if how == "fails" else 5.0}}
    found = service.run(12, **ill)
    assert [(a.operation, a.phase) for a in found] == [("GET /seldom", AnomalyPhase.OPENED)]
    assert [(a.operation, a.phase) for a in service.run(8)] == [("GET /seldom", AnomalyPhase.CLOSED)]
    assert service.run(20) == [], "what is remembered of it opens nothing again"


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_what_is_over_opens_nothing(seed: int):
    """It fails for five seconds, too short to be told, and is well: what is remembered would agree a moment later."""
    service = Service({**RATES, "GET /often": 80.0}, seed)
    service.run(100)
    assert service.run(1, fails={"GET /often": 0.9}) == []
    assert service.run(20) == []


def test_one_that_goes_on_failing_is_not_over_and_a_snapshot_knows_what_it_was_told_for():
    service = Service(RATES, 11)
    service.run(60)
    (opened,) = service.run(6, fails={"GET /search": 0.6})
    assert service.run(30, fails={"GET /search": 0.6}) == []
    service.watch = OperationWatch.of(service.watch.state())
    assert service.run(30, fails={"GET /search": 0.5}) == []
    assert [(a.id, a.phase) for a in service.run(10)] == [(opened.id, AnomalyPhase.CLOSED)]
    older = service.watch.state()
    older[2] = [[*row[:4], row[4][:3], *row[5:]] for row in older[2]]
    assert OperationWatch.of(older).state()[2][0][4][3] == 0.0, "of before it was kept"


@pytest.mark.parametrize("ill", [{"slower": {"GET /search": 6.0}}, {"fails": {"GET /search": 0.9}}])
def test_it_is_told_at_the_second_window_however_well_it_was_before(ill: dict[str, dict[str, float]]):
    service = Service({**RATES, "GET /search": 20.0}, 11)
    service.run(60)
    assert service.run(1, **ill) == []
    assert [a.operation for a in service.run(1, **ill)] == ["GET /search"]
