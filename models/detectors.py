"""Detectors by name: the built-in ones, and those that plugins register under the entry point `homeostat.detector`."""

from __future__ import annotations

from typing import Final

from contracts.plugins import NO_SECTIONS, PluginRegistry, PluginSections
from contracts.ports.detecting import Detector, WarmsUp
from contracts.settings import DetectSettings
from models.adapters.drift import ADWIN, OF_MINUTES
from models.adapters.pyod_detector import PyodDetector
from models.adapters.recipes import Recipe
from models.adapters.river_detector import RiverDetector
from models.service.detector import BankDetector

ISOLATION_FOREST: Final = Recipe("pyod.models.iforest.IForest", {"n_estimators": 50})
"""Liu, Ting & Zhou 2008."""


def _drift(settings: DetectSettings) -> Recipe | None:
    """What watches models for drift; None where nothing does."""
    path, given = settings.drift, settings.drift_parameters
    if not path:
        return None
    return Recipe(path, given or (OF_MINUTES if path == ADWIN else {}), setting="detect.drift")


DETECTORS: Final[PluginRegistry[DetectSettings, Detector]] = PluginRegistry(
    "detector",
    {
        "bank": lambda s: BankDetector(warmup=s.warmup_windows),
        "river": lambda s: RiverDetector(warmup=s.warmup_windows, seed=s.seed, drift=_drift(s)),
        "pyod": lambda s: PyodDetector(warmup=s.warmup_windows, seed=s.seed, drift=_drift(s)),
        "iforest": lambda s: PyodDetector(
            warmup=s.warmup_windows, seed=s.seed, recipe=ISOLATION_FOREST, name="iforest", drift=_drift(s)
        ),
    },
    Detector,
)


def create(settings: DetectSettings, plugins: PluginSections = NO_SECTIONS) -> list[Detector]:
    """The detectors that `settings` name, in that order. `plugins` has the own settings of those that are plugins.

    Raises:
        UnknownName: a name that is neither built in, a member of the settings nor registered by a plugin; the message lists what is
            built in or registered.
        InvalidPlugin: a plugin can't be loaded.
        InvalidSettings: a setting that a plugin needs is missing.
    """
    return [_create(name, settings, plugins) for name in settings.detectors]


def _create(name: str, settings: DetectSettings, plugins: PluginSections) -> Detector:
    member = settings.members.get(name)
    if member is None:
        return DETECTORS.open(name, settings, plugins)
    recipe = Recipe(member.model, member.parameters, member.services)
    if member.model.startswith("river."):
        return RiverDetector(settings.warmup_windows, settings.seed, recipe, name, _drift(settings))
    return PyodDetector(settings.warmup_windows, settings.seed, recipe, name, _drift(settings))


def warm_up(settings: DetectSettings, plugins: PluginSections = NO_SECTIONS) -> None:
    """Import what the detectors of `settings` need that takes long: to be called beside the loop, before the first frame.

    Raises:
        UnknownName, InvalidPlugin, InvalidSettings: as `create`; or a member of the settings names no class.
    """
    for detector in create(settings, plugins):
        if isinstance(detector, WarmsUp):
            detector.warm_up()
