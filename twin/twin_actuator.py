"""The actuator of a simulated system, over the port that real systems have: it takes time, and sometimes it fails.

What it can: restart, scale, roll back, move a service's instances off a node or out of a zone (`drain`), and, where such actions are installed, turn a flag off
(`flag`), kill an instance (`kill`), shift its traffic away from where calls are lost (`shift`). Keys are remembered by the system, so that
whoever asks again, through whichever actuator, has no second effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from contracts.actions import installed_actions
from contracts.errors import ActionFailed, Conflict, InvalidTarget, TargetNotFound
from contracts.ports import Applied, Identity, StepRequest, StepResult, Target, TargetState
from contracts.targets import RELEASE_MARK
from twin.faults import flag_name
from twin.influences import Influence, Seat
from twin.instance_rows import instance_name, node_name, zone_name

if TYPE_CHECKING:
    from twin.episode import SimulatedEpisode

ABLE: Final = frozenset({"restart", "scale", "rollback", "flag", "kill", "drain", "shift"})
LOOK_S: Final = 0.5


class TwinActuator:
    """Acts on the system of one episode. `sleep` waits in the episode's time; `fails` is the share of effects that fail with nothing done."""

    name = "twin"

    def __init__(
        self,
        episode: SimulatedEpisode,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        fails: float = 0.02,
        delay_s: float = 1.0,
    ) -> None:
        self._episode, self._sleep, self._fails, self._delay_s = episode, sleep, fails, delay_s

    @property
    def actions(self) -> frozenset[str]:
        """What it can do of what is installed."""
        return ABLE & installed_actions().keys()

    async def resolve(self, target: Target) -> Identity:
        """The service of that name, if it is one that is run here."""
        return self._identity(self._service(target))

    async def describe(self, target: Target) -> TargetState:
        """Replicas, releases and what a roll-out would take away."""
        return self._state(self._service(target))

    async def apply(self, request: StepRequest) -> StepResult:
        """Have the effect, and wait until it settled or time is up."""
        service = self._service(request.target)
        if request.action not in self.actions:
            raise ActionFailed(
                f"{self.name} has no action {request.action!a}", fix=f"it has {', '.join(sorted(self.actions))}"
            )
        if request.identity is not None and request.identity != self._identity(service):
            raise Conflict(
                f"{request.target.service} was {request.identity.words}, and is {self._identity(service).words}"
            )
        episode = self._episode
        if request.key not in episode.keys:
            episode.keys[request.key] = None
            try:
                await self._have(request, service)
            except ActionFailed:
                del episode.keys[request.key]
                episode.acted(request.action, request.target.service, request.key, failed=True)
                raise
        return StepResult(f"{request.action} {request.target.service}: done", self._state(service))

    async def _have(self, request: StepRequest, service: int) -> None:
        episode, system = self._episode, self._episode.system
        if self._delay_s:
            await self._sleep(float(episode.luck.exponential(self._delay_s)))
        if episode.luck.random() < self._fails:
            raise ActionFailed(f"{self.name}: the system refused {request.action} of {request.target.service} for now")
        self._act(request, service)
        episode.keys[request.key] = system.now_s
        episode.acted(request.action, request.target.service, request.key)
        waited = 0.0
        while waited < request.timeout_s and self._unsettled(service):
            await self._sleep(LOOK_S)
            waited += LOOK_S

    def _act(self, request: StepRequest, service: int) -> None:
        system, given = self._episode.system, request.arguments
        match request.action:
            case "restart":
                rolling = given.get("strategy", "rolling") == "rolling"
                one = self._named(service, str(given.get("instance") or ""))
                system.restart(service, rolling=rolling, elsewhere=self._node_ill(service), one=one)
            case "kill":
                system.restart(service, rolling=False)
            case "scale":
                system.fleet.scale(service, int(given["replicas"]), system.now_s)
            case "rollback":
                self._roll_back(request, service)
            case "flag":
                self._turn(service, str(given.get("flag") or ""), str(given.get("to") or "off"))
            case "drain":
                self._drain(service, given, aside=given.get("set") != "back")
            case "shift":
                self._shift(service, str(given.get("callee") or ""), str(given.get("path") or "other"))
            case other:
                raise ActionFailed(f"{self.name} has no action {other!a}")

    def _named(self, service: int, name: str) -> int | None:
        """The slot of an instance; None where none is named."""
        system = self._episode.system
        if not name:
            return None
        found = {
            instance_name(self._episode.plan, system.fleet, s): int(s) for s in system.fleet.running(service).tolist()
        }
        if name not in found:
            raise ActionFailed(f"there is no instance {name!a}", fix=f"there are {', '.join(sorted(found)) or 'none'}")
        return found[name]

    def _drain(self, service: int, given: Mapping[str, Any], *, aside: bool) -> None:
        """Set a node, or the nodes of a zone, aside, and move a service's instances off; or let them take instances again."""
        plan, system = self._episode.plan, self._episode.system
        node, zone = str(given.get("node") or ""), str(given.get("zone") or "")
        every = range(plan.nodes)
        nodes = [n for n in every if (zone_name(plan, system.fleet, n) == zone if zone else node_name(n) == node)]
        if not aside:
            system.fleet.aside[nodes] = False
        elif not system.drain(service, nodes):
            raise ActionFailed(f"no instance of {plan.services[service].name} runs on {(node or zone)!a}")

    def _roll_back(self, request: StepRequest, service: int) -> None:
        wanted = str(request.arguments.get("version") or "")
        version, _, config = wanted.partition(RELEASE_MARK)
        numbers = tuple(int(n) if n.isdigit() else None for n in (version[1:], config))
        if not self._episode.system.roll_back(service, *numbers):
            raise ActionFailed(f"{request.target.service} has no version {wanted or 'before'} to go back to")

    def _turn(self, service: int, name: str, to: str) -> None:
        """Give a flag (without a name: all of the service) another value. One that is no fault's changes nothing."""
        flags, now_s = self._episode.system.flags, self._episode.system.now_s
        for fault in self._episode.faults:
            if fault.flag is None or fault.flag[0] != service or name not in ("", flag_name(fault.flag[1])):
                continue
            if to == "off":
                flags.add(fault.flag)
                self._led_around(fault.influences, now_s)
            elif fault.flag in flags:
                flags.discard(fault.flag)
                self._led_back(fault.influences)

    def _shift(self, caller: int, callee: str, path: str) -> None:
        """Lead the calls of a service (without a callee: all that it is part of) around whatever is wrong with their path, or back."""
        system = self._episode.system
        other = system.index.get(callee, -1)

        def meant(influence: Influence) -> bool:
            calls = [system.plan.calls[i] for i in influence.places.tolist()] if influence.seat is Seat.LINK else []
            ends = [(c.caller, c.callee) for c in calls]
            return (caller, other) in ends or (not callee and any(caller in pair for pair in ends))

        if path == "other":
            self._led_around([i for i in system.influences if meant(i)], system.now_s)
        else:
            self._led_back([i for i, _ in system.ended_early if meant(i)])

    def _led_around(self, influences: list[Influence], now_s: float) -> None:
        """They end now; when they would have ended is kept by the system."""
        for influence in influences:
            if influence.end_s > now_s:
                self._episode.system.ended_early.append((influence, influence.end_s))
                influence.end_s = now_s

    def _led_back(self, influences: list[Influence]) -> None:
        """What is undone is as it would have been: the fault is there again."""
        system, wanted = self._episode.system, {id(i) for i in influences}
        for influence, end_s in system.ended_early:
            if id(influence) in wanted:
                influence.end_s = end_s
                system.influences = [*(i for i in system.influences if i is not influence), influence]
        system.ended_early = [pair for pair in system.ended_early if id(pair[0]) not in wanted]
        for fault in self._episode.faults:
            if any(id(i) in wanted for i in fault.influences) and fault.sitting(system):
                fault.truth.gone_s = None

    def _ill(self, slot: int) -> bool:
        nodes = [i.nodes for i in self._episode.system.influences if i.seat is Seat.NODE]
        return any(self._episode.system.fleet.node[slot] in n for n in nodes)

    def _node_ill(self, service: int) -> bool:
        """A scheduler puts nothing on a node that is down."""
        return any(self._ill(s) for s in self._episode.system.fleet.running(service).tolist())

    def _unsettled(self, service: int) -> bool:
        system = self._episode.system
        return system.rolling(service) or system.rolled_out_at(service) > system.now_s

    async def applied(self, request: StepRequest) -> Applied:
        """As the system remembers."""
        return Applied.YES if self._episode.keys.get(request.key) is not None else Applied.NO

    async def close(self) -> None:
        """Nothing to release."""

    # --- what there is

    def _service(self, target: Target) -> int:
        plan, name = self._episode.plan, target.service
        if not 0 < len(name) <= 255 or not name.isprintable() or not name.isascii():
            raise InvalidTarget(f"{name!a} can't be the name of a service")
        found = self._episode.system.index.get(name, -1)
        if found < 0 or not plan.services[found].own or target.environment != plan.environment:
            there = sorted(s.name for s in plan.services if s.own)
            more = f", … ({len(there)})" if len(there) > 20 else ""
            raise TargetNotFound(
                f"there is no {name!a} in {target.environment!a}; there are {', '.join(there[:20])}{more}"
            )
        return found

    def _identity(self, service: int) -> Identity:
        namespace, _, name = self._episode.plan.services[service].name.rpartition("/")
        return Identity(f"twin:{self._episode.name}", "service", name, namespace, f"{self._episode.seed}-{service}")

    def _state(self, service: int) -> TargetState:
        system = self._episode.system
        fleet = system.fleet
        slots = fleet.running(service)
        ready = fleet.ready(system.now_s)[slots]
        well = int(np.count_nonzero(ready & (fleet.unheard_s[slots] < 2)))
        earlier, present = fleet.previous[service], int(fleet.release[service])
        version, config = earlier[-1]
        before = f"v{version}" if version != present else f"v{version}{RELEASE_MARK}{config}"
        state = TargetState(
            replicas=len(slots),
            ready=well,
            version=f"v{present}",
            previous_version=before if len(earlier) > 1 else "",
            generation=f"{fleet.generation[service]}.{int(fleet.restarts[fleet.slots(service)].sum())}",
            instances=tuple(instance_name(self._episode.plan, fleet, s) for s in slots.tolist()),
            most=int(fleet.room[service]),
            disrupts=0 if len(slots) == 1 else 1 if len(slots) else 0,
        )
        return replace(state, identity=self._identity(service))
