"""Systems that are well while nothing befalls them: what is drawn may be more than its own timeouts and retries bear."""

from __future__ import annotations

from typing import Final

import numpy as np

from twin.blueprint import SystemPlan
from twin.configuration import Configuration, Split, generator_of
from twin.load import UserDemand
from twin.system import SimulatedSystem
from twin.topology import draw_system

TRIED_S: Final = 30
LOOKED_S: Final = 12
"""The last seconds of the trial count."""
MOST_FAILING: Final = 0.01
ATTEMPTS: Final = 25


def draw_sound_system(
    split: Split, configuration: Configuration, seed: int, services: int | None = None, style: str | None = None
) -> SystemPlan:
    """The first system of a seed's attempts that is well by itself.

    Raises:
        ValueError: none is.
    """
    for attempt in range(ATTEMPTS):
        plan = draw_system(split, configuration, seed, services, style, attempt)
        if is_sound(plan, configuration, split, seed):
            return plan
    raise ValueError(f"no system of {split}/{seed} is well by itself: its configuration asks too much of services")


def is_sound(plan: SystemPlan, configuration: Configuration, split: Split, seed: int) -> bool:
    """Whether nobody is failed beyond what is usual, and nothing piles up, on a day somewhat busier than ordinary."""
    r = generator_of(split, seed, "soundness")
    load = UserDemand(r, configuration, plan.entries, TRIED_S)
    load.level(1.25)
    system = SimulatedSystem(plan, load, r)
    last = [system.step() for _ in range(TRIED_S)][-LOOKED_S:]
    worst = max(float(np.max(second.failing - system.flow.base_fail)) for second in last)
    usual = sum(s.error_rate for s in plan.services)
    waiting, arriving = float(system.fleet.backlog.sum()), float(last[-1].arriving.sum())
    return worst <= MOST_FAILING + usual and waiting <= 1.0 + 0.1 * arriving
