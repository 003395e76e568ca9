"""The bank's parts: what a snapshot looks like, whose evidence counts, and who is taken to be silent or stuck."""

import numpy as np
import pytest

from contracts import features as f
from contracts.checks.detector_frames import as_they_come, everyone, frame, steady
from models import snapshots
from models.service.columns import WINDOWS, columns
from models.service.detector import BankDetector
from models.service.evidence import bend, joint, loudest
from models.service.state import BankState, fresh_state
from models.service.transforms import restore, stabilise

NAMES = (f.REQUEST_RATE, f.ERROR_RATE, f.LATENCY_P50)
COLUMNS = columns(NAMES, f.Signal.SPANS)


def fed(windows=40, change=lambda window, values: values):
    bank = BankDetector(warmup=20)
    for i, values in enumerate(steady(windows, rows=3, seed=5)):
        made = frame(i, change(i, values.copy()))
        scores = bank.update(made, np.ones(len(made.services), np.bool_))
    return bank, scores


def test_a_snapshot_holds_one_row_per_series_whatever_the_layout_in_memory():
    bank, _ = fed()
    (track,) = snapshots.load("bank", 2, bank.snapshot())["tracks"]
    shapes = {name: array.shape for name, array in track["state"].items()}
    width = len(track["alignment"]["names"])
    assert shapes["age"] == (3,)
    assert shapes["mean"] == (3, width)
    assert shapes["acc"] == shapes["width"] == (3, width, len(WINDOWS))


def test_state_comes_back_as_it_was_and_is_worked_on_without_jumps():
    state = fresh_state(4, COLUMNS)
    state.acc[:] = np.arange(state.acc.size).reshape(state.acc.shape)
    state.mean[1, 2] = 7.0
    back = BankState.of(state.plain())
    for name, array in back.plain().items():
        np.testing.assert_array_equal(array, state.plain()[name], err_msg=name)
        assert getattr(back, name).flags.c_contiguous
    assert state.plain()["mean"][2, 1] == 7.0


def test_series_and_features_find_their_place_when_state_grows():
    state = fresh_state(2, COLUMNS)
    state.acc[3, 1, 0], state.age[1] = 5.0, 9.0
    state.append(fresh_state(1, COLUMNS))
    assert state.acc.shape == (len(WINDOWS), 3, 3)
    wide = columns((f.REQUEST_RATE, f.ERROR_RATE, f.LATENCY_P50, f.LATENCY_P95), f.Signal.SPANS)
    state.widen(fresh_state(3, wide), np.array([0, 2, 3]))
    assert state.acc[3, 2, 0] == 5.0
    state.keep(np.array([1, 2]))
    assert state.age.tolist() == [9.0, 0.0]
    assert state.acc.shape == (len(WINDOWS), 4, 2)


def test_of_windows_that_say_as_much_the_shortest_gives_the_direction():
    decades = np.array([[[2.0, 1.0]], [[2.0, 3.0]], [[1.0, 3.0]], [[0.0, 0.0]]])
    z = np.array([[[-4.0, 4.0]], [[5.0, -2.0]], [[1.0, 2.0]], [[1.0, 1.0]]])
    most, sign, which = loudest(decades, z)
    assert most.tolist() == [[2.0, 3.0]]
    assert sign.tolist() == [[-1.0, -1.0]]
    assert which.tolist() == [[0, 1]]


def test_features_of_a_group_do_not_add_up_and_groups_do():
    names = (f.REQUEST_RATE, f.ERROR_RATE, f.LATENCY_P50, f.LATENCY_P95)
    decades = np.array([[0.0, 1.0], [2.0, 0.0], [4.0, 0.0], [3.0, 0.0]])
    assert joint(decades, columns(names, f.Signal.SPANS)).tolist() == [4.0 + 0.5 * 2.0, 1.0]


def test_only_heavy_tails_of_the_shortest_window_are_bent():
    size = np.full((len(WINDOWS), 2, 1), 10.0)
    bend(size, np.array([False, True]))
    assert size[0, 0, 0] == 10.0
    assert size[0, 1, 0] == pytest.approx(5.0 * np.log(3.0))
    assert (size[1:] == 10.0).all()


def test_transforms_are_each_others_inverse():
    values = np.array([[0.0, 3.0, 250.0], [0.0, 0.2, 1.0], [0.001, 0.5, 20.0]])
    np.testing.assert_allclose(restore(stabilise(values, COLUMNS, 2.0), COLUMNS, 2.0), values, rtol=1e-9, atol=1e-12)


def test_only_the_series_that_fell_silent_is_judged_so():
    def change(window, values):
        if window >= 36:
            values[1] = np.nan
            values[1, 0] = 0.0
        return values

    _, scores = fed(40, change)
    rate = scores.decades[:, 0]
    assert rate[1] < -3.0
    assert abs(rate[[0, 2]]).max() < 2.0


def thin_traffic(drops_at, seconds=360, series=40):
    """Least p-values of the last 60 s: request counts of many series with six requests a second, one of four after the drop."""
    rng, bank, least = np.random.default_rng(3), BankDetector(warmup=30), np.ones(series)
    for i in range(seconds):
        counts = rng.poisson(6.0 if i < drops_at else 1.5, series)
        latency = 0.05 * np.exp(rng.normal(0.0, 0.3, (series, 3))) * (1.0, 2.0, 2.0)
        rest = np.where(counts[:, None] > 0, np.column_stack([np.zeros(series), latency]), np.nan)
        made = frame(i, np.column_stack([counts, rest]))
        p = bank.update(made, np.ones(series, np.bool_)).p_value
        least = np.minimum(least, p) if i >= seconds - 60 else least
    return least


def test_thin_traffic_that_drops_is_noticed_within_a_minute():
    assert (thin_traffic(drops_at=300) <= 1e-4).mean() > 0.9
    assert (thin_traffic(drops_at=10**9) > 1e-4).mean() > 0.9


@pytest.mark.parametrize(("repeated", "stuck"), [((2, 3, 4), True), ((3, 4), False)])
def test_three_features_that_repeat_for_long_are_a_stuck_source_and_two_are_not(repeated, stuck):
    kept = {}

    def change(window, values):
        if window >= 320:
            values[0, repeated] = kept.setdefault("values", values[0, repeated])
        return values

    _, scores = fed(345, change)
    assert bool(scores.p_value[0] <= 1e-6) == stuck
    assert (scores.p_value[1:] > 1e-3).all()


def test_how_the_rows_of_a_window_come_changes_nothing_of_what_is_said_of_them():
    late = (0, 0, 1, 2, 5, 5, 15, 25)
    windows = list(steady(160))
    whole, apart = BankDetector(), BankDetector()
    said = [whole.update(frame(w, values), everyone(8)) for w, values in enumerate(windows)]
    for window, rows, given in as_they_come(windows, late):
        scores = apart.update(given, everyone(len(rows)))
        for name in ("decades", "low", "high", "p_value", "warm"):
            np.testing.assert_array_equal(
                getattr(scores, name), getattr(said[window], name)[rows], f"{name} at {window}"
            )


def test_a_silence_that_lasts_does_not_become_its_own_measure():
    """A thin service whose longest silence so far was long falls silent for good: the longer, the surer."""
    bank, r, least = BankDetector(), np.random.default_rng(1), []
    for window in range(400):
        count = float(r.poisson(3.0)) if window < 300 and not 150 <= window < 157 else 0.0
        values = np.array([[count, *([0.0, 0.02, 0.03, 0.05] if count else [np.nan] * 4)]])
        scores = bank.update(frame(window, values), everyone(1))
        least.append(float(scores.p_value[0]))
    assert min(least[280:300]) > 1e-3
    assert max(least[312:]) < 1e-3
