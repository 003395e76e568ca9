"""Drift of members: a model that no longer fits gives way to one that proves better, one that proves worse is rolled back, and nothing else moves
any of it: neither what was told, nor harm, nor telemetry that is lost. A restart in the middle concludes the same."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from contracts.checks.detector_frames import T0, everyone, frame
from contracts.frames.feature_frame import FeatureFrame, Presence
from contracts.ports.detecting import ClaimOutcome, ModelNews, SeriesKey
from contracts.units import MINUTE, SECOND
from contracts.verdicts import ModelStep
from models.adapters.drift import ADWIN, OF_MINUTES, CalmMinutes, DriftWatch
from models.adapters.pyod_detector import PyodDetector
from models.adapters.recipes import Recipe
from models.adapters.river_detector import RiverDetector
from models.adapters.succession import ERROR, KEPT_NS, TRIED_NS, TRIES, Contest, Replacement, Succession, better
from tests.patience import LONG_S
from tests.representatives import representatives

DRIFT = Recipe(ADWIN, OF_MINUTES, setting="detect.drift")
OUTLIERS = Recipe("river.anomaly.LocalOutlierFactor", {"n_neighbors": 10})
NEIGHBOURS = Recipe("pyod.models.knn.KNN")
"""Both go by how far the nearest known vectors are: off the line on which all of them lie is far."""
DRIFTED, PROMOTED, ROLLED_BACK, DROPPED = (
    ModelStep.DRIFTED,
    ModelStep.PROMOTED,
    ModelStep.ROLLED_BACK,
    ModelStep.DROPPED,
)
SERVICES = 24
Detector = PyodDetector | RiverDetector


def windows(
    first: int, last: int, *, apart: Callable[[int], bool], rows: int = SERVICES, width_s: int = 10
) -> Iterator[FeatureFrame]:
    """Windows whose 50th and 95th percentiles of latency depart to the same side, or to opposite ones; each by itself looks the same."""
    for n in range(first, last):
        r = np.random.default_rng(n)
        common = r.normal(0.0, 0.2, rows)
        slow = np.exp(-common if apart(n) else common)
        count = r.poisson(500.0, rows) + 1.0
        values = np.stack([count, np.full(rows, 0.01), 0.02 * np.exp(common), 0.06 * slow, 0.08 * slow], axis=1)
        yield frame(n, values, window_ns=T0 + n * width_s * SECOND, width_ns=width_s * SECOND)


class Heard:
    """Windows through a detector: what became of its models, at which window, and how many calm rows looked strange to it."""

    def __init__(self, made: Callable[[], Detector]) -> None:
        self.made, self.detector = made, made()
        self.news: list[tuple[int, ModelNews]] = []
        self.strange: dict[int, float] = {}

    def run(self, frames: Iterator[FeatureFrame], learn: Callable[[int], np.ndarray] | None = None) -> "Heard":
        for given in frames:
            n = (given.window_ns - T0) // given.width_ns
            rows = len(given.services)
            scores = self.detector.update(given, learn(n) if learn is not None else everyone(rows))
            self.strange[n] = float((scores.p_value <= 0.01).mean())
            self.news += [(n, told) for told in self.detector.news()]
        return self

    def restart(self) -> None:
        """Another process goes on from a snapshot."""
        state, self.detector = self.detector.snapshot(), self.made()
        self.detector.restore(state)

    def steps(self) -> list[ModelStep]:
        return [told.step for _, told in self.news]

    def share(self, first: int, last: int) -> float:
        return float(np.mean([self.strange[n] for n in range(first, last)]))


def pyod() -> PyodDetector:
    return PyodDetector(recipe=NEIGHBOURS, drift=DRIFT)


def river() -> RiverDetector:
    return RiverDetector(recipe=OUTLIERS, drift=DRIFT)


SPANS = SeriesKey("e", "spans", "s0")
CHANGES = {pyod: 180, river: 900}
"""The window from which latencies depart to opposite sides: half an hour after the first."""
ROWS = {pyod: SERVICES, river: 1}
WIDTH_S = {pyod: 10, river: 2}


def stream(made: Callable[[], Detector], first: int, last: int, back: int = 1 << 30) -> Iterator[FeatureFrame]:
    """Windows of which those from `CHANGES` on are others, until they are again as they were."""
    changes = CHANGES[made]
    return windows(first, last, apart=lambda n: changes <= n < back, rows=ROWS[made], width_s=WIDTH_S[made])


@pytest.mark.timeout(LONG_S)
def test_a_changed_correlation_raises_false_suspicions_until_the_challenger_is_promoted() -> None:
    changes = CHANGES[pyod]
    heard = Heard(pyod).run(stream(pyod, 0, changes))
    before, version = heard.share(changes - 60, changes), heard.detector.version_of(SPANS)
    assert not heard.news
    assert version > 1  # the first fits are of few windows
    heard.run(stream(pyod, changes, changes + 200))
    assert heard.steps() == [DRIFTED, PROMOTED]
    (noticed, drifted), (promoted, news) = heard.news
    assert (noticed - changes) * 10 <= 15 * 60  # of which seven minutes are the challenger's to learn in
    assert (promoted - changes) * 10 <= 30 * 60
    assert (drifted.series.service, drifted.version, drifted.other) == ("*", version + 1, version)
    assert (news.version, news.other) == (version + 1, version)
    assert heard.detector.version_of(SPANS) == version + 1
    suffered = heard.share(changes + 12, promoted)
    assert suffered > 2 * before
    assert heard.share(promoted, changes + 200) < 0.25 * suffered


@pytest.mark.timeout(LONG_S)
def test_what_comes_back_to_what_it_was_brings_the_predecessor_back() -> None:
    changes, back = CHANGES[river], CHANGES[river] + 780
    heard = Heard(river).run(stream(river, 0, changes))
    assert heard.detector.version_of(SPANS) == 1
    heard.run(stream(river, changes, back))
    assert heard.steps() == [DRIFTED, PROMOTED]
    assert heard.news[0][1].series == SPANS
    assert (heard.news[1][0] - changes) * 2 <= 30 * 60
    assert heard.detector.version_of(SPANS) == 2
    heard.run(stream(river, back, back + 800, back))
    assert heard.steps()[2:3] == [ROLLED_BACK]
    assert (heard.news[2][1].version, heard.news[2][1].other) == (1, 2)
    assert heard.detector.version_of(SPANS) == 1


@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize("made", representatives([pyod, river], pyod), ids=["pyod", "river"])
def test_a_restart_in_the_middle_concludes_the_same(made: Callable[[], Detector]) -> None:
    """Restarted while young, while a challenger learns, and while it is tried; and two runs of the same stream are the same."""
    plain, restarted = Heard(made), Heard(made)
    changes = CHANGES[made]
    last = changes + (200 if made is pyod else 780)
    plain.run(stream(made, 0, last))
    noticed, promoted = (n for n, told in plain.news[:2])
    begin = 0
    for end in (40, (changes + noticed) // 2, noticed + 3, (noticed + promoted) // 2, last):
        restarted.run(stream(made, begin, end))
        restarted.restart()
        begin = end
    assert [told.step for _, told in plain.news] == [DRIFTED, PROMOTED]
    assert restarted.news == plain.news
    assert restarted.strange == plain.strange
    assert restarted.detector.snapshot() == plain.detector.snapshot()


@pytest.mark.timeout(LONG_S)
def test_without_a_drift_detector_models_are_refitted_all_the_time() -> None:
    changes = CHANGES[pyod]
    heard = Heard(lambda: PyodDetector(recipe=NEIGHBOURS)).run(stream(pyod, 0, changes + 160))
    assert not heard.news
    assert heard.detector.version_of(SPANS) == 6  # every 60th frame


@pytest.mark.parametrize("made", [pyod, river], ids=["pyod", "river"])
def test_who_is_watched_otherwise_after_a_restart_begins_anew(made: Callable[[], Detector]) -> None:
    heard = Heard(made).run(stream(made, 0, 150))
    state = heard.detector.snapshot()
    before = heard.detector.version_of(SPANS)
    recipe = NEIGHBOURS if made is pyod else OUTLIERS
    other = type(heard.detector)(recipe=recipe)
    other.restore(state)
    assert other.version_of(SPANS) == 0
    for given in stream(made, 150, 230):
        other.update(given, everyone(len(given.services)))
    assert other.version_of(SPANS) > before


@pytest.fixture(scope="module")
def settled() -> bytes:
    """River just before the change."""
    return Heard(river).run(stream(river, 0, CHANGES[river])).detector.snapshot()


def told_of(why: str, n: int, given: FeatureFrame) -> FeatureFrame:
    """The frame as it comes where the change is the release's, or where it is lost."""
    more: dict[str, object] = {"window_ns": given.window_ns, "width_ns": given.width_ns}
    if why == "release":
        more["versions"] = ("2",)
    if why == "lost":
        given.values[:] = np.nan
        more["presence"] = np.full(1, Presence.MISSING, np.int8)
    return frame(n, given.values, **more)


@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize("why", ["nobody told", "release", "told", "adopted", "harm", "lost"])
def test_what_was_told_or_harms_or_is_lost_is_no_drift(settled: bytes, why: str) -> None:
    changes = CHANGES[river]
    heard = Heard(river)
    heard.detector.restore(settled)
    first = T0 + changes * 2 * SECOND
    if why == "told":
        heard.detector.take_change("e", "s0", first)
    if why == "adopted":
        heard.detector.rebase(SPANS, {"latency_p95": 0.06})
    may = (lambda n: np.zeros(1, np.bool_)) if why == "harm" else None
    frames = (told_of(why, n, given) for n, given in enumerate(stream(river, changes, changes + 280), changes))
    heard.run(frames, may)
    assert heard.steps() == ([DRIFTED] if why == "nobody told" else [])
    assert heard.detector.version_of(SPANS) == (1 if why in ("nobody told", "harm", "lost") else 2)


# --- the rules by themselves


def succession() -> Succession[str]:
    made = Succession("old", 1, DriftWatch(None, [], []))
    made.begin("new", 2)
    made.enter(0)
    return made


def minutes(made: Succession[str], said: Sequence[tuple[float, float]], start: int = 1) -> list[Replacement]:
    told = (made.minute((start + k) * MINUTE, *both) for k, both in enumerate(said))
    return [t for t in told if t is not None]


def test_nine_better_minutes_of_nine_promote_and_eight_do_not() -> None:
    made = succession()
    assert not minutes(made, [(3.0, 1.0)] * 8)
    (told,) = minutes(made, [(3.0, 1.0)], start=9)
    assert (told.step, told.version, told.other) == (PROMOTED, 2, 1)
    assert (made.champion, made.version, made.rival, made.rival_version) == ("new", 2, "old", 1)


def test_minutes_in_which_both_say_the_same_decide_nothing() -> None:
    made = succession()
    (told,) = minutes(made, [(1.02, 1.0), (1.5, 1.45)] * 31)
    assert told.step is DROPPED
    assert made.drifted  # undecided: another is tried


def test_a_worse_challenger_is_dropped_and_not_tried_again() -> None:
    made = succession()
    (told,) = minutes(made, [(1.0, 2.0)] * 12)
    assert (told.step, made.champion, made.rival, made.drifted) == (DROPPED, "old", None, False)


def test_what_is_never_decided_is_tried_so_many_times_and_then_left() -> None:
    made, tried = succession(), 1
    while True:
        minutes(made, [(1.0, 1.0)] * (TRIED_NS // MINUTE + 1))
        if not made.drifted:
            break
        made.begin("another", 2 + tried)
        made.enter(0)
        tried += 1
    assert tried == TRIES


def test_a_challenger_that_is_no_better_is_promoted_at_most_as_often_as_stated() -> None:
    r, promoted = np.random.default_rng(4), 0
    for _ in range(2000):
        contest = Contest(False, 0)
        for won in r.random(60) < 0.5:
            contest.minute(2.0, 1.0) if won else contest.minute(1.0, 2.0)
            if contest.proven():
                promoted += 1
                break
    assert promoted <= 2000 * ERROR + 3 * (2000 * ERROR) ** 0.5


def test_evidence_is_a_martingale_where_nobody_is_better() -> None:
    assert better(0, 0) == 1.0
    for won, lost in ((0, 0), (7, 1), (3, 12)):
        assert better(won, lost) == pytest.approx((better(won + 1, lost) + better(won, lost + 1)) / 2)


def test_outcomes_alone_may_promote_but_not_against_calm_minutes() -> None:
    for calm, steps in (((1.0, 1.0), [PROMOTED]), ((1.0, 1.4), [])):
        made, told = succession(), []
        for k in range(1, 30):
            made.claimed(k * MINUTE, of_rival=True, came_true=True)
            told += minutes(made, [calm], start=k)
        assert [t.step for t in told if t.step is not DROPPED][:1] == steps


def test_claims_are_trials_of_who_made_them() -> None:
    for rival, came_true, wins in ((True, True, 1), (True, False, -1), (False, True, -1), (False, False, 1)):
        made = succession()
        made.claimed(SECOND, of_rival=rival, came_true=came_true)
        assert made.contest is not None
        assert made.contest.outcomes == wins
    late = succession()
    late.contest = Contest(False, MINUTE)
    late.claimed(SECOND, of_rival=True, came_true=True)  # made before it was tried
    assert late.contest.outcomes == 0


def test_many_outcomes_of_one_minute_are_one_trial() -> None:
    made = succession()
    for _ in range(50):
        made.claimed(SECOND, of_rival=True, came_true=True)
    assert not minutes(made, [(1.0, 1.0)])
    assert made.contest is not None
    assert made.contest.won == [0, 1]


def test_who_was_surer_of_what_opened_wins_a_trial() -> None:
    made = succession()
    made.note(10 * SECOND, 3.0, 5.0, "a")
    made.note(10 * SECOND, 9.0, 0.0, "b")
    made.opened(12 * SECOND, "a")
    made.opened(12 * SECOND, "c")
    assert made.contest is not None
    assert made.contest.outcomes == 1


def test_a_promoted_one_that_is_worse_is_rolled_back_also_after_it_was_better_for_long() -> None:
    made = succession()
    minutes(made, [(3.0, 1.0)] * 9)
    assert not minutes(made, [(1.0, 3.0)] * 36, start=10)
    told = minutes(made, [(3.0, 1.0)] * 9, start=46)
    assert [(t.step, t.version, t.other) for t in told] == [(ROLLED_BACK, 1, 2)]
    assert (made.champion, made.rival) == ("old", None)


def test_a_predecessor_is_kept_for_so_long() -> None:
    made = succession()
    minutes(made, [(3.0, 1.0)] * 9)
    kept = KEPT_NS // MINUTE
    minutes(made, [(1.0, 1.0)] * kept, start=10)
    assert made.rival == "old"
    minutes(made, [(1.0, 1.0)], start=10 + kept)
    assert made.rival is None


@pytest.mark.parametrize("detector", ["river.drift.KSWIN", "river.drift.PageHinkley"])
def test_another_detector_by_class_path(detector: str) -> None:
    parameters = {"seed": 1} if detector.endswith("KSWIN") else {"threshold": 10.0}
    watch = DriftWatch(Recipe(detector, parameters), [], [])
    assert any(watch.take(1.0 + 0.1 * (k % 3) + 2.0 * (k > 100)) for k in range(200))


def test_a_watch_is_bounded_and_goes_on_from_what_it_kept() -> None:
    r = np.random.default_rng(2)
    said = [*r.normal(1.0, 0.1, 150), *r.normal(1.8, 0.1, 30)]
    watch, found = DriftWatch(DRIFT, [], []), []
    for mean in said:
        found.append(watch.take(mean))
        watch = DriftWatch(DRIFT, *watch.plain())  # restarted after each minute
    assert not any(found[:150])
    assert any(found[150:165])
    assert sum(map(len, watch.plain())) <= 120


def test_a_minute_in_which_a_series_was_held_back_does_not_count() -> None:
    held = CalmMinutes()
    assert held.begin(0, 2) is None
    held.sums[:] = 1.0
    held.hold_back(np.array([1]), 0)
    over = held.begin(MINUTE, 2)
    assert over is not None
    assert over[1].tolist() == [0]


def test_an_outcome_is_for_the_service_that_it_is_about() -> None:
    heard = Heard(river).run(stream(river, 0, 30))
    heard.detector.take_outcome(ClaimOutcome("river", True, "e", "nobody", 0, True))
    heard.detector.take_opened("nowhere", "s0", 0)
    assert not heard.detector.news()
