"""The actuator of a simulated system passes what every actuator must."""

from __future__ import annotations

import asyncio

import pytest

from contracts.checks import actuator
from contracts.ports import Target
from twin.configuration import Split
from twin.episode import Plot, SimulatedEpisode
from twin.twin_actuator import TwinActuator


def subject() -> actuator.Subject:
    episode = SimulatedEpisode.drawn(Split.TUNING, 4, services=8, plot=Plot((), 60))
    for _ in range(10):
        episode.second()
    for i in range(len(episode.plan.services)):
        episode.system.fleet._start_s[i] = 0.0
    service = next(s for s in episode.plan.services if s.tells)
    index = episode.system.index[service.name]
    episode.system.fleet.previous[index].append((0, 1))
    arguments = {"restart": {"strategy": "instance"}, "scale": {"replicas": service.instances + 1}, "rollback": {}}
    arguments |= {name: {} for name in ("flag", "kill", "drain", "shift")}
    able = TwinActuator(episode).actions

    async def living(_: float) -> None:
        """Whoever waits lets the system live."""
        episode.system.step()
        await asyncio.sleep(0)

    return actuator.Subject(
        open=lambda: TwinActuator(episode, living, fails=0.0, delay_s=0.0),
        target=Target(episode.plan.environment, service.name),
        effects=lambda: len(episode.truth.acts),
        arguments={name: given for name, given in arguments.items() if name in able},
        unlisted=service.name,
        marks=False,  # a simulated system is one process's own
    )


@pytest.mark.parametrize("check", actuator.CHECKS)
async def test_it_does_what_every_actuator_must(check: actuator.Check):
    await check(subject())
