"""Models by class path and parameters, as settings name them: `river.anomaly.HalfSpaceTrees`, `pyod.models.iforest.IForest`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from contracts.errors import InvalidSettings
from contracts.frames.decoded import B1

SEEDS = ("seed", "random_state", "rng")
"""Parameters that take a seed, by the libraries' habits."""


@dataclass(frozen=True)
class Recipe:
    """A class and its parameters; `services` are patterns of the services it is for, empty: all."""

    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    services: tuple[str, ...] = ()
    setting: str = "detect.members"
    """Where it is named, for who reads what is wrong with it."""

    @property
    def title(self) -> str:
        """Class and parameters in words, as a version."""
        given = ",".join(f"{name}={value!r}" for name, value in sorted(self.parameters.items()))
        return f"{self.path}({given})"

    def load(self) -> type[Any]:
        """The class.

        Raises:
            InvalidSettings: there is no such class.
        """
        module, _, name = self.path.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as e:
            raise InvalidSettings(f"{self.setting}: no class {self.path}: {e}") from e
        if not inspect.isclass(found):
            raise InvalidSettings(f"{self.setting}: {self.path} is no class")
        return found

    def make(self, seed: int, **more: Any) -> Any:
        """An instance, with a seed where its class takes one.

        Raises:
            InvalidSettings: no such class, or it does not take these parameters.
        """
        kind = self.load()
        seeds = {name: seed for name in SEEDS if accepted(kind, name)}
        try:
            return kind(**(seeds | more | dict(self.parameters)))
        except (TypeError, ValueError) as e:
            raise InvalidSettings(f"{self.setting}: {self.path} can't be made with {dict(self.parameters)}: {e}") from e

    def meant(self, services: tuple[str, ...]) -> B1:
        """Which of these services it is for."""
        if not self.services:
            return np.ones(len(services), np.bool_)
        return np.array([any(fnmatchcase(name, p) for p in self.services) for name in services], np.bool_)


def accepted(kind: type[Any], parameter: str) -> bool:
    """Whether a class takes a parameter of this name."""
    return parameter in inspect.signature(kind).parameters
