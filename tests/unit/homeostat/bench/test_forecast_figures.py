"""Forecasters of libraries on labelled series: what they err, where they are used, and how the command line names them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from contracts.errors import InvalidSettings
from homeostat.bench.forecasting import forecast_figures, named
from homeostat.bench.labelled_series import LabelledSeries
from homeostat.cli.app import cli
from models.series.calendar import UNIVERSAL, Calendar
from models.series.forecasting.forecasts import Forecasting
from tests.representatives import representatives
from tests.unit.models.series.test_calendar import HOLIDAY, offices

HOUR_S = 3600.0
DAILY = "river.time_series.HoltWinters(alpha=0.05, beta=0.005, gamma=0.3, seasonality=48, multiplicative=True)"
WEEKLY = "river.time_series.HoltWinters(alpha=0.05, beta=0.001, gamma=0.3, seasonality=336, multiplicative=True)"
NAIVE = "river.time_series.SNARIMAX(p=0, d=0, q=0, m=48, sd=1)"
DAYS = 10


def growing(seed: int) -> np.ndarray:
    at = np.arange(24 * DAYS)
    noise = np.random.default_rng(seed).normal(0, 1, len(at))
    return (300 + 50 * np.sin(2 * np.pi * at / 24) + 40.0 * (at // 24) + noise)[:, None]


def test_a_day_ahead_is_measured_and_what_was_chosen_is_judged_on_the_day_after() -> None:
    times_s = 20_000 * 86_400 + HOUR_S * np.arange(24 * DAYS)
    series = [LabelledSeries(f"s{i}", times_s, growing(i), np.zeros((0, 1)), None) for i in range(2)]
    given = named([NAIVE])
    assert given is not None
    found = forecast_figures(series, given)
    assert (found.series, found.series_with_one) == (2, 2)
    assert found.used == found.choices == 2 * (DAYS - 5)
    profile, naive = found.errors["profile"], found.errors["SNARIMAX"]
    assert profile is not None
    assert naive is not None
    assert naive < 0.6 * profile
    assert found.next_day is not None
    assert found.next_day < 0.6
    assert found.next_day_better == 1.0


OWN = Calendar("Europe/Berlin", (HOLIDAY.isoformat(),))


@pytest.mark.parametrize(
    ("calendar", "least", "most"), representatives([(UNIVERSAL, 0.4, 1.0), (OWN, 0.0, 0.1)], (OWN, 0.0, 0.1))
)
def test_a_week_without_a_calendar_is_forecast_and_beside_a_calendar_hardly_anything_is_used(
    calendar: Calendar, least: float, most: float
) -> None:
    rows = offices()
    times_s, values = np.array([at.timestamp() for at, _ in rows]), np.array([row for _, row in rows])
    series = [LabelledSeries("offices", times_s, values, values[:0], None)]
    given = named([DAILY, WEEKLY, NAIVE])
    assert given is not None
    found = forecast_figures(series, Forecasting(given.recipes, calendar))
    assert least * found.choices <= found.used <= most * found.choices
    if calendar is UNIVERSAL:
        assert found.next_day is not None
        assert found.next_day < 0.6


def test_the_command_measures_with_forecasters_and_without(tmp_path: Path) -> None:
    labels = np.zeros(24 * DAYS, dtype=np.int8)
    labels[-3:] = 1
    np.savez(tmp_path / "a.npz", t=HOUR_S * np.arange(24 * DAYS), x=growing(3)[:, 0] - 200.0 * labels, y=labels)
    written = tmp_path / "figures.json"
    asked = ["bench", "detect", "--no-rivals", "--forecaster", NAIVE, "--json", str(written), str(tmp_path)]
    ran = CliRunner().invoke(cli, asked)
    assert ran.exit_code == 0, ran.output
    (found,) = json.loads(written.read_text())
    assert [d["detector"] for d in found["detectors"]] == ["homeostat", "with forecasters"]
    assert found["forecasts"]["series"] == 1
    assert "a day ahead, error by that of the plain level" in ran.output
    assert "a forecaster is used on" in ran.output


def test_two_of_one_class_are_told_apart_and_none_is_none() -> None:
    found = named([NAIVE, NAIVE.replace("48", "336")])
    assert found is not None
    assert len(found.recipes) == 2
    assert [recipe.parameters["m"] for recipe in found.recipes.values()] == [48, 336]
    assert named([]) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("river.time_series.SNARIMAX(1, 0, 0)", "parameters are given by name"),
        ("river.time_series.SNARIMAX(p=", "is no forecaster as"),
        ("river.time_series.HoltWinters(alpha=print())", "is no forecaster as"),
        ("river.anomaly.HalfSpaceTrees", "is no forecaster: it needs"),
    ],
)
def test_what_is_no_forecaster_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidSettings, match=says):
        named([text])


def test_forecasters_without_series_to_forecast_are_refused() -> None:
    refused = CliRunner().invoke(cli, ["bench", "detect", "--forecaster", NAIVE])
    assert refused.exit_code != 0
    assert "name their FOLDERS" in refused.output
