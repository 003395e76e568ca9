"""Variations of a system: the same trade, drawn from a seed with other names, rates, replicas, work times and habits of telling."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from homeostat.drills.system_plan import RoutePlan, ServiceDesign, StepPlan, SystemDesign

_WORDS: Final = (
    "alder", "basalt", "cedar", "dune", "ember", "fjord", "garnet", "heron", "iris", "juniper", "kelp", "lark", "maple", "nettle",
    "opal", "pine", "quartz", "raven", "sage", "thorn", "umber", "violet", "willow", "yarrow",
)  # fmt: skip


def variation(system: SystemDesign, seed: int) -> SystemDesign:
    """A variation of a system; the same for the same seed. What faults rely on stays: who calls whom, and who is alone."""
    chance = random.Random(seed)
    words = chance.sample(_WORDS, len(system.services))
    names = dict(zip(system.services, words, strict=True))
    told = [n for n, s in system.services.items() if s.role == "serve" and s.telling.any]
    habits = [system.services[n].telling for n in told]
    chance.shuffle(habits)
    telling = dict(zip(told, habits, strict=True))
    services = {
        names[n]: replace(_varied(s, names, chance), telling=telling.get(n, s.telling))
        for n, s in system.services.items()
    }
    entries = {
        n: replace(e, service=names[e.service], rate=round(e.rate * chance.uniform(0.7, 1.4), 2))
        for n, e in system.entries.items()
    }
    queues = tuple(names[q] for q in system.queues)
    return SystemDesign(f"{system.namespace}{seed}", services, entries, queues, names)


def _varied(service: ServiceDesign, names: Mapping[str, str], chance: random.Random) -> ServiceDesign:
    slower = chance.uniform(0.7, 1.3)
    routes = {
        path: RoutePlan(r.work_s * slower, tuple(tuple(_step(s, names) for s in g) for g in r.groups))
        for path, r in service.routes.items()
    }
    consumes = (names[service.consumes[0]], _step(service.consumes[1], names)) if service.consumes else None
    return replace(
        service,
        routes=routes,
        replicas=chance.choice((2, 3)) if service.replicas > 1 else 1,
        pools={names[c]: n for c, n in service.pools.items()},
        host=f"{chance.choice(_WORDS)}{chance.randrange(100)}.internal" if service.host else "",
        consumes=consumes,
    )


def _step(step: StepPlan, names: Mapping[str, str]) -> StepPlan:
    return replace(step, service=names[step.service], cache=names[step.cache] if step.cache else "")
