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
    arguments |= {"kill": {}}
    arguments |= {"flag": {"flag": "x", "to": "off"}, "shift": {"caller": service.name, "callee": "x", "path": "other"}}
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


async def _done(episode: SimulatedEpisode, action: str, service: str, key: str, **arguments: str) -> bool:
    """Do it; whether the fault is still there."""

    async def at_once(_: float) -> None:
        """No time passes."""

    target = Target(episode.plan.environment, service)
    mends = TwinActuator(episode, at_once, fails=0.0, delay_s=0.0)
    await mends.apply(StepRequest(key, "r", "s", action, target, arguments, None, 0.0))
    episode.second()
    assert (episode.faults[0].truth.gone_s is None) == episode.faults[0].sitting(episode.system)
    return episode.faults[0].sitting(episode.system)


def ill(kind: str) -> SimulatedEpisode:
    plot = Plot(((10.0, kind),), 60, operations=False)
    for seed in range(100):
        episode = SimulatedEpisode.drawn(Split.TUNING, seed, services=8, plot=plot)
        while not episode.faults:
            episode.second()
        found = episode.faults[0]
        if found.truth.heals_s is None and found.truth.repairs and found.truth.kind == kind:
            return episode
    raise AssertionError(f"no {kind} that stays")


async def test_only_the_flag_that_is_told_of_ends_a_flags_fault() -> None:
    episode = ill("flag_errors")
    service = episode.faults[0].truth.service
    assert await _done(episode, "flag", service, "a", flag="layout-b", to="off")
    assert await _done(episode, "flag", service, "b", flag="errors-path", to="on")
    assert not await _done(episode, "flag", service, "c", flag="errors-path", to="off")
    assert await _done(episode, "flag", service, "d", flag="errors-path", to="on"), "undone, it is there again"


async def test_only_the_callers_way_to_the_callee_ends_a_paths_fault() -> None:
    episode = ill("link_cut")
    fault = episode.faults[0]
    (call,) = (episode.plan.calls[i] for i in fault.influences[0].places.tolist())
    caller, callee = (episode.plan.services[i].name for i in (call.caller, call.callee))
    assert fault.truth.repairs == {("shift", caller)}
    assert await _done(episode, "shift", caller, "a", caller=caller, callee="another", path="other")
    assert await _done(episode, "shift", caller, "b", caller=caller, callee=callee, path="usual")
    assert not await _done(episode, "shift", caller, "c", caller=caller, callee=callee, path="other")
    assert await _done(episode, "shift", caller, "d", caller=caller, callee=callee, path="usual"), "and back"


async def test_who_is_moved_out_of_a_zone_is_put_on_none_of_its_nodes() -> None:
    seeds = (SimulatedEpisode.drawn(Split.TUNING, n, services=12, plot=Plot((), 60)) for n in range(30))
    episode = next(e for e in seeds if e.plan.zones > 1 and e.plan.nodes > 3)
    fleet, plan = episode.system.fleet, episode.plan
    own = [i for i, s in enumerate(plan.services) if s.own]
    zone = int(fleet.zone_of[fleet.node[fleet.running(own[0])[0]]])
    there = [i for i in own if (fleet.zone_of[fleet.node[fleet.running(i)]] == zone).any()]
    system = TwinActuator(episode, lambda _: asyncio.sleep(0), fails=0.0, delay_s=0.0)
    for service in there:
        target = Target(plan.environment, plan.services[service].name)
        where = {"zone": f"zone-{zone}", "set": "aside"}
        await system.apply(StepRequest(f"k{service}", "run", "step", "drain", target, where, None, 1.0))
        if len(fleet.running(service)) > 1:
            assert (fleet.zone_of[fleet.node[fleet.running(service)]] != zone).all()
    assert fleet.aside[fleet.zone_of == zone].all()


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
