"""Detectors by name: the built-in ones, and those that plugins register under the entry point `homeostat.detector`."""

from __future__ import annotations

from typing import Final

from contracts.plugins import NO_SECTIONS, PluginRegistry, PluginSections
from contracts.ports.detecting import Detector
from contracts.settings import DetectSettings
from models.adapters.pyod_detector import PyodDetector
from models.adapters.river_detector import RiverDetector
from models.service.detector import BankDetector

DETECTORS: Final[PluginRegistry[DetectSettings, Detector]] = PluginRegistry(
    "detector",
    {
        "bank": lambda s: BankDetector(warmup=s.warmup_windows),
        "river": lambda s: RiverDetector(warmup=s.warmup_windows, seed=s.seed),
        "pyod": lambda s: PyodDetector(warmup=s.warmup_windows, seed=s.seed),
    },
    Detector,
)


def create(settings: DetectSettings, plugins: PluginSections = NO_SECTIONS) -> list[Detector]:
    """The detectors that `settings` name, in that order. `plugins` has the own settings of those that are plugins.

    Raises:
        UnknownName: a name that is neither built in nor registered by a plugin; the message lists those that are.
        InvalidPlugin: a plugin can't be loaded.
        InvalidSettings: a setting that a plugin needs is missing.
    """
    return [DETECTORS.open(name, settings, plugins) for name in settings.detectors]
