"""What every detector must do.

    from contracts.checks import detector
    detector.run_all(lambda: MyDetector(...))          # or
    @pytest.mark.parametrize("check", detector.CHECKS)
    def test_my_detector(check): check(lambda: MyDetector(...))

The factory gives a new detector that judges after `WARM` windows at the latest, and gives the same one each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from contracts import features as f
from contracts.checks.detector_frames import (
    FEATURES,
    SERVICES,
    WARM,
    as_they_come,
    everyone,
    feed,
    frame,
    piece,
    steady,
)
from contracts.checks.running import on_same
from contracts.errors import UnreadableEvent
from contracts.frames.feature_frame import Presence
from contracts.ports.detecting import Detector, Explains, Scores, SeriesKey

Factory = Callable[[], Detector]
Check = Callable[[Factory], None]


def _same(a: Scores, b: Scores, what: str) -> None:
    for name in ("decades", "low", "high", "p_value", "warm"):
        assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name in {"low", "high"}), f"{what}: {name}"


def _sound(scores: Scores, rows: int) -> None:
    assert scores.p_value.shape == (rows,), f"p_value has shape {scores.p_value.shape}, wanted ({rows},)"
    assert scores.warm.shape == (rows,), f"warm has shape {scores.warm.shape}"
    for name in ("decades", "low", "high"):
        assert getattr(scores, name).shape == (rows, len(FEATURES)), f"{name} has the wrong shape"
    assert np.isfinite(scores.decades).all(), "decades must be finite; 0 where nothing is known"
    assert ((scores.p_value > 0) & (scores.p_value <= 1)).all(), "p-values must lie in (0, 1]"
    assert not np.isinf(scores.low).any(), "an unknown bound is NaN, not infinite"
    assert not (scores.low > scores.high).any(), "an expected range must not be upside down"


def check_shapes_and_ranges(factory: Factory) -> None:
    """Scores have the frame's shape, p-values are probabilities, ranges are ranges."""
    for scores in feed(factory(), list(steady(40))):
        _sound(scores, SERVICES)


def check_names_itself(factory: Factory) -> None:
    """A detector has a name and a version, which are put on every anomaly."""
    detector = factory()
    assert detector.name, "name must not be empty"
    assert detector.version, "version must not be empty"


def check_starts_cold(factory: Factory) -> None:
    """What was seen once is not judged: not warm, and p = 1."""
    scores = feed(factory(), list(steady(1)))[0]
    assert not scores.warm.any(), "warm after one window"
    assert (scores.p_value == 1.0).all(), "a cold row must have p = 1"


def check_gets_warm(factory: Factory) -> None:
    """After `WARM` steady windows every row is judged."""
    last = feed(factory(), list(steady(WARM)))[-1]
    assert last.warm.all(), f"not warm after {WARM} windows"


def check_deterministic(factory: Factory) -> None:
    """The same frames give the same scores."""
    values = list(steady(WARM))
    for a, b in zip(feed(factory(), values), feed(factory(), values), strict=True):
        _same(a, b, "two runs over the same frames differ")


def check_missing_values(factory: Factory) -> None:
    """NaN, alone or whole rows of it, is survived and is no evidence."""
    detector = factory()
    feed(detector, list(steady(WARM)))
    values = next(steady(1, seed=4))
    values[0], values[1, 2:] = np.nan, np.nan
    scores = detector.update(frame(WARM, values), everyone(SERVICES))
    _sound(scores, SERVICES)
    assert (scores.decades[0] == 0).all(), "a row of missing values has no evidence"
    assert (scores.decades[1, 2:] == 0).all(), "a missing value has no evidence"


def check_constant_series(factory: Factory) -> None:
    """A series that never moves gives finite scores and no alarm."""
    values = np.tile(np.array([50.0, 0.0, 0.02, 0.05, 0.08]), (SERVICES, 1))
    for scores in feed(factory(), [values] * WARM):
        _sound(scores, SERVICES)
        assert (scores.p_value > 1e-4).all(), "an alarm on a constant series"


def check_rows_come_and_go(factory: Factory) -> None:
    """Rows may appear, disappear and change places; each is judged by its own past."""
    detector = factory()
    values = list(steady(WARM))
    feed(detector, values[:40])
    more = np.concatenate([values[40], values[41][:4]])
    _sound(detector.update(frame(40, more), everyone(len(more))), len(more))
    order = [5, 2, 0]
    picked = frame(41, values[41][order], services=tuple(f"s{i}" for i in order))
    _sound(detector.update(picked, everyone(3)), 3)
    empty = frame(42, np.zeros((0, len(FEATURES))), services=(), versions=(), attributes=())
    _sound(detector.update(empty, everyone(0)), 0)
    _sound(feed(detector, values[43:44], start=43)[0], SERVICES)


def check_row_order_is_irrelevant(factory: Factory) -> None:
    """The same rows in another order get the same scores."""
    one, other = factory(), factory()
    values = list(steady(WARM))
    feed(one, values[:-1]), feed(other, values[:-1])
    back = list(range(SERVICES))[::-1]
    a = one.update(frame(WARM, values[-1]), everyone(SERVICES))
    b = other.update(frame(WARM, values[-1][back], services=tuple(f"s{i}" for i in back)), everyone(SERVICES))
    assert np.allclose(a.p_value[back], b.p_value), "scores depend on the order of rows"


def check_snapshot_scores_identically(factory: Factory) -> None:
    """`restore(snapshot())` in a new detector goes on exactly as the old one."""
    old, new = factory(), factory()
    values = list(steady(WARM + 70))
    feed(old, values[:WARM])
    new.restore(old.snapshot())
    rest = zip(feed(old, values[WARM:], start=WARM), feed(new, values[WARM:], start=WARM), strict=True)
    for i, (a, b) in enumerate(rest):
        _same(a, b, f"window {i} after a restore differs")
    assert old.snapshot() == new.snapshot(), "the restored detector's own snapshot differs"


def check_restore_replaces(factory: Factory) -> None:
    """A restore leaves nothing of what was known before."""
    fresh, used = factory(), factory()
    state = fresh.snapshot()
    feed(used, list(steady(40)))
    used.restore(state)
    assert used.snapshot() == state, "state from before the restore is left"


def check_refuses_foreign_state(factory: Factory) -> None:
    """Bytes that are no snapshot of this detector raise UnreadableEvent."""
    for state in (b"", b"\xff\x00nonsense", b"\x81\xa4kind\xa5other"):
        try:
            factory().restore(state)
        except UnreadableEvent:
            continue
        raise AssertionError(f"{state!r} was taken for a snapshot")


def check_finds_a_gross_step(factory: Factory) -> None:
    """Five times the latency and every second request failing: p <= 0.01 within 10 windows, and only where it happens."""
    detector = factory()
    feed(detector, list(steady(WARM)))
    broken = [v.copy() for v in steady(10, seed=5)]
    for v in broken:
        v[0, 1] = 0.5
        v[0, 2:] *= 5.0
    scores = feed(detector, broken, start=WARM)
    least = min(float(s.p_value[0]) for s in scores)
    assert least <= 0.01, f"the least p-value of a service that breaks is {least:.2g}"
    others = [float(s.p_value[1:].min()) for s in scores]
    assert np.median(others) > 0.001, "healthy neighbours of a broken service are blamed"
    assert all((s.decades[0, 1:] >= 0).all() for s in scores), "what rose must have positive evidence"


def check_parts_are_those_of_what_departs(factory: Factory) -> None:
    """One that says what each feature counted (`Explains`) says so of the features that it was given, and of a row that breaks something."""
    detector = factory()
    if not isinstance(detector, Explains):
        return
    feed(detector, list(steady(WARM)))
    broken = next(steady(1, seed=5))
    broken[0, 1], broken[0, 2:] = 0.5, broken[0, 2:] * 5.0
    feed(detector, [broken], start=WARM)
    parts = detector.parts(SeriesKey("e", f.Signal.SPANS.value, "s0"))
    assert parts, "nothing is said of a row that breaks"
    assert set(parts) <= set(FEATURES), f"parts of what is no feature: {sorted(set(parts) - set(FEATURES))}"
    assert all(np.isfinite(v) for v in parts.values()), "parts must be numbers"
    assert sum(parts.values()) > 0.0, "the parts of a row that breaks add up to nothing"
    assert not detector.parts(SeriesKey("e", f.Signal.SPANS.value, "nobody")), "parts of a series that is not there"


def check_calm_on_steady_noise(factory: Factory) -> None:
    """On stationary noise p-values are honest: at most 3 in 100 below 0.01, and hardly any below 1e-4."""
    detector = factory()
    feed(detector, list(steady(WARM, seed=6)))
    later = feed(detector, list(steady(300, seed=7)), start=WARM)
    p = np.concatenate([s.p_value for s in later])
    assert (p <= 0.01).mean() <= 0.03, f"{(p <= 0.01).mean():.1%} of calm windows have p <= 0.01"
    assert (p <= 1e-4).mean() <= 0.002, f"{(p <= 1e-4).mean():.2%} of calm windows have p <= 1e-4"


def check_does_not_learn_when_told(factory: Factory) -> None:
    """With `learn` false for a row, a lasting fault is as strange at the end as it was at first."""
    detector = factory()
    feed(detector, list(steady(WARM)))
    broken = [v.copy() for v in steady(60, seed=8)]
    may = everyone(SERVICES)
    may[0] = False
    least = 1.0
    for i, v in enumerate(broken):
        v[0, 1], v[0, 2:] = 0.5, v[0, 2:] * 5.0
        scores = detector.update(frame(WARM + i, v), may)
        if i >= 50:
            least = min(least, float(scores.p_value[0]))
    assert least <= 0.01, f"a fault that was not to be learnt became normal (least p {least:.2g})"


def check_takes_a_new_level(factory: Factory) -> None:
    """After `rebase` the new level is normal at once and the old one is not; the levels of before are returned, and taking them
    puts everything back. What is not known is left alone."""
    detector = factory()
    feed(detector, list(steady(WARM)))
    slow = [_slower(v) for v in steady(40, seed=12)]
    levels = {f.LATENCY_P50: 0.1, f.LATENCY_P95: 0.3, f.LATENCY_P99: 0.38}
    may = everyone(SERVICES)
    may[0] = False
    for i, v in enumerate(slow[:10]):
        detector.update(frame(WARM + i, v), may)
    series = SeriesKey("e", f.Signal.SPANS.value, "s0")
    before = detector.rebase(series, levels)
    assert all(abs(before[n] / (levels[n] / 5.0) - 1.0) < 0.5 for n in before), f"levels of before: {before}"
    taken = [detector.update(frame(WARM + 10 + i, v), everyone(SERVICES)) for i, v in enumerate(slow[10:])]
    assert np.median([float(s.p_value[0]) for s in taken]) > 0.01, "a level that was taken for normal is an anomaly"
    detector.rebase(series, before)
    assert detector.rebase(SeriesKey("e", f.Signal.SPANS.value, "unheard-of"), levels) == {}
    assert detector.rebase(SeriesKey("nowhere", f.Signal.SPANS.value, "s0"), levels) == {}
    normal = [detector.update(frame(WARM + 40 + i, v), may) for i, v in enumerate(steady(20, seed=13))]
    assert np.median([float(s.p_value[0]) for s in normal]) > 0.01, "what was normal before is an anomaly"


def _slower(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    slow = values.copy()
    slow[0, 2:] *= 5.0
    return slow


def check_corrections_are_not_learnt(factory: Factory) -> None:
    """A frame with revision > 0 is scored, and the state stays as it was for later windows."""
    detector, plain = factory(), factory()
    values = list(steady(WARM))
    feed(detector, values), feed(plain, values)
    wrong = next(steady(1, seed=9)) * 3.0
    wrong[:, 1] = 0.4
    _sound(detector.update(frame(WARM - 1, wrong, revision=1), everyone(SERVICES)), SERVICES)
    after = next(steady(1, seed=10))
    a = detector.update(frame(WARM, after), everyone(SERVICES))
    b = plain.update(frame(WARM, after), everyone(SERVICES))
    assert np.allclose(a.p_value, b.p_value), "a correction was learnt from"


def check_rows_of_a_window_come_split(factory: Factory) -> None:
    """The rows of a window may come in several frames, in any grouping: every row gets warm, and is judged by its own past."""
    detector = factory()
    broken = [v.copy() for v in steady(10, seed=5)]
    for v in broken:
        v[0, 1], v[0, 2:] = 0.5, v[0, 2:] * 5.0
    least = np.ones(SERVICES)
    for window, values in enumerate([*steady(WARM), *broken]):
        groups = 1 + window % 4
        for part in range(groups):
            rows = list(range(part, SERVICES, groups))
            scores = detector.update(piece(window, values, rows), everyone(len(rows)))
            _sound(scores, len(rows))
            if window == WARM - 1:
                assert scores.warm.all(), f"rows {rows} are not warm after {WARM} windows that came in {groups} frames"
            if window >= WARM:
                least[rows] = np.minimum(least[rows], scores.p_value)
    assert least[0] <= 0.01, f"the least p-value of a service that breaks is {least[0]:.2g} where windows come split"
    assert np.median(least[1:]) > 0.001, "healthy neighbours of a broken service are blamed where windows come split"


def check_windows_come_out_of_order_between_series(factory: Factory) -> None:
    """A frame of an older window may follow one of a newer window for other series: whoever is later than others gets as warm
    as they do, and a fault in it is found as well."""
    late = (0, 0, 1, 1, 5, 5, 30, 60)
    for broken in (0, 2, 4, 6, 7):
        detector = factory()
        windows = list(steady(WARM)) + [v.copy() for v in steady(10, seed=5)]
        for v in windows[WARM:]:
            v[broken, 1], v[broken, 2:] = 0.5, v[broken, 2:] * 5.0
        least = np.ones(SERVICES)
        for window, rows, given in as_they_come(windows, late):
            scores = detector.update(given, everyone(len(rows)))
            if window == WARM - 1:
                assert scores.warm.all(), (
                    f"rows that come {late[rows[0]]} windows late are not warm after {WARM} windows"
                )
            if window >= WARM:
                least[rows] = np.minimum(least[rows], scores.p_value)
        what = f"a service whose rows come {late[broken]} windows late"
        assert least[broken] <= 0.01, f"the least p-value of {what} and that breaks is {least[broken]:.2g}"
        others = np.delete(least, broken)
        assert np.median(others) > 0.001, f"healthy neighbours of {what} are blamed"


def check_a_row_that_comes_again_is_not_learnt(factory: Factory) -> None:
    """A series' newest window is its clock: a row of revision 0 that is not newer is scored and not learnt."""
    detector, plain = factory(), factory()
    values = list(steady(WARM))
    feed(detector, values), feed(plain, values)
    wrong = next(steady(1, seed=9)) * 3.0
    wrong[:, 1] = 0.4
    for window in (WARM - 1, WARM - 20):
        _sound(detector.update(piece(window, wrong, range(4)), everyone(4)), 4)
    after = next(steady(1, seed=10))
    a = detector.update(frame(WARM, after), everyone(SERVICES))
    b = plain.update(frame(WARM, after), everyone(SERVICES))
    assert np.allclose(a.p_value, b.p_value), "rows that came before were learnt again"


def check_missing_rows_say_nothing(factory: Factory) -> None:
    """A missing row is no evidence, and nothing is learnt from it: afterwards all is as if it had not come."""
    detector, plain = factory(), factory()
    values = list(steady(WARM))
    feed(detector, values), feed(plain, values)
    lost = np.full((3, len(FEATURES)), np.nan)
    said = np.full(3, Presence.MISSING, np.int8)
    for window in range(WARM, WARM + 30):
        scores = detector.update(piece(window, lost, range(3), presence=said), everyone(3))
        _sound(scores, 3)
        assert (scores.p_value == 1.0).all(), "a missing row is evidence"
        assert (scores.decades == 0.0).all(), "a missing row is evidence"
    after = next(steady(1, seed=10))
    a = detector.update(frame(WARM + 30, after), everyone(SERVICES))
    b = plain.update(frame(WARM + 30, after), everyone(SERVICES))
    assert np.allclose(a.p_value, b.p_value), "missing rows were learnt from"
    assert (a.warm == b.warm).all(), "missing rows changed who is warm"


def check_quiet_rows_are_observations(factory: Factory) -> None:
    """A quiet row is a window with zero requests: it is scored, and its unknown features are no evidence."""
    detector = factory()
    feed(detector, list(steady(WARM)))
    quiet = np.full((2, len(FEATURES)), np.nan)
    quiet[:, 0] = 0.0
    said = np.full(2, Presence.QUIET, np.int8)
    for window in range(WARM, WARM + 5):
        scores = detector.update(piece(window, quiet, range(2), presence=said), everyone(2))
        _sound(scores, 2)
        assert (scores.decades[:, 1:] == 0.0).all(), "what was not measured in a quiet window is evidence"
        assert (scores.decades[:, 0] <= 0.0).all(), "a quiet window has more requests than expected"


CHECKS: Final[tuple[Check, ...]] = (
    check_shapes_and_ranges,
    check_names_itself,
    check_starts_cold,
    check_gets_warm,
    check_deterministic,
    check_missing_values,
    check_constant_series,
    check_rows_come_and_go,
    check_row_order_is_irrelevant,
    check_snapshot_scores_identically,
    check_restore_replaces,
    check_refuses_foreign_state,
    check_finds_a_gross_step,
    check_parts_are_those_of_what_departs,
    check_calm_on_steady_noise,
    check_does_not_learn_when_told,
    check_takes_a_new_level,
    check_corrections_are_not_learnt,
    check_rows_of_a_window_come_split,
    check_windows_come_out_of_order_between_series,
    check_a_row_that_comes_again_is_not_learnt,
    check_missing_rows_say_nothing,
    check_quiet_rows_are_observations,
)

run_all: Final = on_same(CHECKS)
"""Runs all checks, one after the other; AssertionError with the first thing that is wrong."""
