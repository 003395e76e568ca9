"""The actuator of a simulated system passes what every actuator must."""

from __future__ import annotations

import asyncio

import pytest

from contracts.checks import actuator
from contracts.errors import ActionFailed
from contracts.ports import StepRequest, Target
from twin.configuration import Split
from twin.episode import Plot, SimulatedEpisode
from twin.instance_rows import node_name
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
    arguments |= {name: {} for name in ("flag", "kill", "shift")}
    fleet = episode.system.fleet
    arguments["drain"] = {"node": node_name(int(fleet.node[fleet.running(index)[0]])), "set": "aside"}
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


async def test_draining_moves_what_a_service_has_on_the_node_and_leaves_the_others_there() -> None:
    episode = SimulatedEpisode.drawn(Split.TUNING, 4, services=12, plot=Plot((), 60))
    fleet, own = episode.system.fleet, [i for i, s in enumerate(episode.plan.services) if s.own]
    busiest = max(
        range(episode.plan.nodes),
        key=lambda n: len({int(fleet.service[s]) for i in own for s in fleet.running(i) if fleet.node[s] == n}),
    )
    there = {i: [int(s) for s in fleet.running(i) if fleet.node[s] == busiest] for i in own}
    first, second, *_ = [i for i, slots in there.items() if slots]
    system = TwinActuator(episode, lambda _: asyncio.sleep(0), fails=0.0, delay_s=0.0)
    target = Target(episode.plan.environment, episode.plan.services[first].name)

    def asked(key: str, node: str, **more: str) -> StepRequest:
        return StepRequest(key, "run", "step", "drain", target, {"node": node, **more}, None, 1.0)

    await system.apply(asked("one", node_name(busiest)))
    assert all(fleet.node[s] != busiest for s in fleet.running(first))
    assert all(fleet.node[s] == busiest for s in there[second])
    with pytest.raises(ActionFailed, match="no instance of"):
        await system.apply(asked("two", node_name(busiest)))
    await system.apply(asked("three", node_name(busiest), set="back"))
