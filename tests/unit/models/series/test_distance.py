"""How far series are: in what units, from when on, and what is learnt of what is far."""

from __future__ import annotations

import numpy as np
import pytest

from models.series.alarms import Loudness, distance_of
from models.series.distance import Distances, From

ONE = np.zeros(1, dtype=np.int64)


def distances(values: np.ndarray) -> np.ndarray:
    """Of one series, point by point."""
    found = Distances(1)
    return np.concatenate([found.step(ONE, np.array([v])) for v in values.tolist()])


def test_nothing_is_far_before_some_points_were_seen() -> None:
    far = distances(np.r_[np.random.default_rng(1).standard_normal(30), 1e6])
    assert not far[:30].any()
    assert far[30, From.LEVEL] > 1e3


def test_what_is_rare_but_usual_is_about_as_far_as_it_is_rare() -> None:
    """One point in a hundred is 50: ten spreads off, and no more the hundredth time."""
    values = np.random.default_rng(2).standard_normal(10_000)
    values[50::100] += 50
    far = distances(values)[5050::100, From.LEVEL]
    assert 6 < np.median(far) < 12


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_unit_of_measurement_does_not_matter(unit: float) -> None:
    values = np.random.default_rng(3).standard_normal(500)
    values[400] = 9.0
    assert distances(values * unit)[400] == pytest.approx(distances(values)[400], rel=1e-6)


def test_one_absurd_value_does_not_hide_all_others_for_ever() -> None:
    values = np.random.default_rng(4).standard_normal(60_000)
    values[1000], values[59_000] = 1e4, 20.0
    far = distances(values)[:, From.LEVEL]
    assert far[1000] > 1e3
    assert far[59_000] > 5


def test_a_jump_of_one_series_is_noise_and_of_several_at_once_an_event() -> None:
    jumped = np.array([[1.0, 8.0]])
    assert distance_of(jumped) == 1.0
    assert distance_of(np.repeat(jumped, 3, axis=0)) == 8.0
    assert distance_of(np.zeros((0, len(From)))) == 0.0


def test_of_a_single_series_far_is_far() -> None:
    """A spike of a heavy tail isn't the loudest of all by being the highest: how rare it is says that."""
    assert distance_of(np.array([[50.0, 70.0]])) == distance_of(np.array([[500.0, 70.0]])) == 6.0


def test_what_many_say_counts_less_by_their_number() -> None:
    few, many = Loudness().hear(12.0, 0.0, 6), Loudness().hear(12.0, 0.0, 38)
    assert few.rare == pytest.approx(38 / 6 * many.rare)
    assert Loudness().hear(3.0, 5.0, 1).score == 5.0
    assert Loudness().hear(7.0, 5.0, 1).score == 7.0
