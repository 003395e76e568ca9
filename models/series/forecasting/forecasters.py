"""The forecasters that settings name."""

from __future__ import annotations

from contracts.settings import SeriesSettings
from models.adapters.recipes import Recipe
from models.series.calendar import Calendar
from models.series.forecasting.forecaster import SETTING, forecaster_of
from models.series.forecasting.forecasts import Forecasting


def forecasting_of(settings: SeriesSettings, calendar: Calendar) -> Forecasting | None:
    """For series whose seasons go by `calendar`; None where none is named."""
    recipes = _recipes(settings)
    return Forecasting(recipes, calendar) if recipes else None


def check(settings: SeriesSettings) -> None:
    """Try each: to be called beside the loop, before the first point, as libraries take long to import.

    Raises:
        InvalidSettings: one names no class, not its parameters, or a class that does not forecast.
    """
    for recipe in _recipes(settings).values():
        forecaster_of(recipe)


def _recipes(settings: SeriesSettings) -> dict[str, Recipe]:
    return {
        name: Recipe(given.model, given.parameters, given.series, f"{SETTING}.{name}")
        for name, given in settings.forecasters.items()
    }
