"""Forecasters of libraries behind one protocol, by what their classes offer: river's, statsforecast's, or the protocol itself."""

from __future__ import annotations

import inspect
from typing import Any, Final, Protocol

import numpy as np

from contracts.errors import InvalidSettings
from contracts.frames.decoded import F64
from models.adapters.recipes import Recipe

SETTING: Final = "series.forecasters"
_SEED: Final = 7
_NEEDED: Final = "`forecast(history, ahead)`, `learn_one(y)` with `forecast(horizon)` as river has it, or `forecast(y, h)` as statsforecast has it"


class Forecaster(Protocol):
    """What forecasts one series."""

    def forecast(self, history: F64, ahead: int) -> F64:
        """The next `ahead` of equally spaced means, after those of `history`."""
        ...


class LearningForecaster:
    """A model that learns value by value, as river's."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def forecast(self, history: F64, ahead: int) -> F64:
        """By a new model, in units in which values are about 1: gradients of others explode."""
        model = self._recipe.make(seed=_SEED)
        unit = float(np.mean(np.abs(history))) or 1.0
        for value in (history / unit).tolist():
            model.learn_one(value)
        return np.asarray(model.forecast(horizon=ahead), np.float64) * unit


class FittingForecaster:
    """A model that is fitted to the whole, as statsforecast's."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def forecast(self, history: F64, ahead: int) -> F64:
        """By a new model."""
        return np.asarray(self._recipe.make(seed=_SEED).forecast(y=history, h=ahead)["mean"], np.float64)


class OwnForecaster:
    """A model with the protocol's own method."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def forecast(self, history: F64, ahead: int) -> F64:
        """By a new model."""
        return np.asarray(self._recipe.make(seed=_SEED).forecast(history, ahead), np.float64)


def forecaster_of(recipe: Recipe) -> Forecaster:
    """What a recipe makes, tried once.

    Raises:
        InvalidSettings: no such class, not these parameters, or it is none that forecasts.
    """
    kind = recipe.load()
    recipe.make(seed=_SEED)
    method = getattr(kind, "forecast", None)
    if callable(method):
        taken = _parameters(method)
        if callable(getattr(kind, "learn_one", None)) and "horizon" in taken:
            return LearningForecaster(recipe)
        if {"y", "h"} <= set(taken):
            return FittingForecaster(recipe)
        if {"history", "ahead"} <= set(taken):
            return OwnForecaster(recipe)
    raise InvalidSettings(f"{recipe.setting}: {recipe.path} is no forecaster: it needs {_NEEDED}")


def _parameters(method: Any) -> list[str]:
    return list(inspect.signature(method).parameters)
