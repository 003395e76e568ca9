"""Detectors by name: the built-in ones, and those that plugins register under the entry point `homeostat.detector`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from contracts.errors import UnknownName
from contracts.ports.detecting import Detector
from contracts.settings import DetectSettings
from models.adapters.pyod_detector import PyodDetector
from models.adapters.river_detector import RiverDetector
from models.service.detector import BankDetector

GROUP = "homeostat.detector"
Factory = Callable[[DetectSettings], Detector]

BUILT_IN: dict[str, Factory] = {
    "bank": lambda s: BankDetector(warmup=s.warmup_windows),
    "river": lambda s: RiverDetector(warmup=s.warmup_windows, seed=s.seed),
    "pyod": lambda s: PyodDetector(warmup=s.warmup_windows, seed=s.seed),
}


def create(settings: DetectSettings) -> list[Detector]:
    """The detectors that `settings` name, in that order.

    Raises:
        UnknownName: a name that is neither built in nor registered by a plugin; the message lists those that are.
    """
    registered = {point.name: point for point in entry_points(group=GROUP)}
    made: list[Detector] = []
    for name in settings.detectors:
        if name in BUILT_IN:
            made.append(BUILT_IN[name](settings))
        elif name in registered:
            factory: Factory = registered[name].load()
            made.append(factory(settings))
        else:
            raise UnknownName("detector", name, {*BUILT_IN, *registered})
    return made
