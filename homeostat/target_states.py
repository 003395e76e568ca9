"""How targets are, as actuators describe them: kept fresh in the background, for reports (`homeostat.target_reports`)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from contracts.claims import ClaimsHeard
from contracts.errors import HomeostatError
from contracts.events import Incident
from contracts.features import Signal
from contracts.frames import EvidenceFrame
from contracts.ports import Actuator, Clock
from contracts.settings import ActSettings
from contracts.supervision import Supervised
from contracts.targets import Target, TargetState
from contracts.units import SECOND
from contracts.verdicts import IncidentPhase
from playbooks.guards import singled_out

log = logging.getLogger(__name__)
REFRESH_S = 2.0
DESCRIBE_S = 5.0
"""An actuator that takes longer to describe one target is passed over."""
AT_ONCE: Final = 4
"""Targets described at a time: one that takes long does not make the states of all others old."""
STALE_NS: Final = 15 * SECOND
"""A description older than this is not told: how the target is by now isn't known."""
FORGET_NS: Final = 600 * SECOND
"""Event time after which a service that was not heard of is no target any more."""


class TargetStates:
    """The targets of all environments this process hears of. `changed` is told which environment's targets became otherwise."""

    def __init__(
        self, actuators: Sequence[Actuator], clock: Clock, settings: ActSettings, changed: Callable[[str], None]
    ) -> None:
        self._actuators, self._clock, self._settings, self._changed = actuators, clock, settings, changed
        self._claims: defaultdict[str, ClaimsHeard] = defaultdict(ClaimsHeard)
        self._heard_ns: dict[str, dict[str, int]] = {}
        self._states: dict[tuple[str, str], tuple[TargetState, int]] = {}
        self._failed: dict[str, str] = {}
        self._sick: dict[str, tuple[str, ...]] = {}
        self._news = asyncio.Event()
        self._task = Supervised("target-states", self._run, clock=clock)
        self.troubles: dict[str, str] = {}
        """By actuator: what it failed with when it was last asked, where that is no answer an actuator may give."""

    def start(self) -> None:
        """Begin refreshing."""
        self._task.start()

    async def stop(self) -> None:
        """End refreshing."""
        await self._task.stop()

    def observe(self, frame: EvidenceFrame) -> None:
        """Learn from a frame who exists, and by which attributes actuators can find them."""
        heard = self._heard_ns.setdefault(frame.environment, {})
        for service in frame.services:
            heard[service] = max(frame.window_ns, heard.get(service, 0))
        if frame.signal != Signal.EDGES:
            self._claims[frame.environment].take(frame.signal, frame.services, frame.attributes, frame.window_ns)

    def suspect(self, incident: Incident) -> None:
        """These are looked at next, and at once: what became of them explains what they suffer from, and is known before anything is done."""
        services = tuple(dict.fromkeys((*incident.services, *(c.service for c in incident.candidates))))
        resolved = incident.phase is IncidentPhase.RESOLVED
        if not resolved and not set(services) <= set(self._sick.get(incident.environment, ())):
            self._sick[incident.environment] = services
            self._news.set()
        elif resolved:
            self._sick.pop(incident.environment, None)

    def forget(self, environment: str) -> None:
        """An environment is not heard of any more, or is another process's."""
        self._sick.pop(environment, None)
        self._heard_ns.pop(environment, None)
        self._claims.pop(environment, None)
        for key in [k for k in self._states if k[0] == environment]:
            del self._states[key]

    def known(self, environment: str) -> dict[str, TargetState]:
        """By service, as described lately; who isn't in it is known to no actuator, or isn't described in time. Marks that we left
        ourselves are taken off: what is told of are others' acts."""
        since_ns = self._clock.now_ns() - STALE_NS
        heard = self._heard_ns.get(environment, {})
        found = ((s, self._states.get((environment, s))) for s in heard)
        return {
            service: self._foreign(state[0]) for service, state in found if state is not None and state[1] >= since_ns
        }

    def looks(self, environment: str) -> dict[str, tuple[TargetState, int]]:
        """By service, what `known` says, and when that was asked."""
        return {
            service: (state, self._states[environment, service][1])
            for service, state in self.known(environment).items()
        }

    def _foreign(self, state: TargetState) -> TargetState:
        ours = state.acted is not None and state.acted.by == self._settings.installation
        return dataclasses.replace(state, acted=None) if ours else state

    def actions(self, environment: str) -> frozenset[str]:
        """All that some actuator can do, and may do for the environment."""
        return frozenset().union(*(a.actions for a in self._bound(environment)))

    def _bound(self, environment: str) -> list[Actuator]:
        return [a for a in self._actuators if self._settings.binding(environment, a.name) is not None]

    async def _run(self) -> None:
        while True:
            before, self._failed = self.troubles, {}
            at_once = asyncio.Semaphore(AT_ONCE)
            async with asyncio.TaskGroup() as group:
                for environment in list(self._heard_ns):
                    for service in self._present(environment):
                        group.create_task(self._refresh(environment, service, at_once))
            self.troubles = self._failed
            for name in sorted(before.keys() - self.troubles.keys()):
                log.info("actuator %s describes its targets again", name)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), REFRESH_S)
            self._news.clear()

    def _present(self, environment: str) -> list[str]:
        heard = self._heard_ns[environment]
        newest_ns = max(heard.values(), default=0)
        for service in [s for s, ns in heard.items() if newest_ns - ns >= FORGET_NS]:
            del heard[service]
            self._states.pop((environment, service), None)
        sick = self._sick.get(environment, ())
        return sorted(heard, key=lambda service: service not in sick)

    async def _refresh(self, environment: str, service: str, at_once: asyncio.Semaphore) -> None:
        key = environment, service
        async with at_once:
            claims, asked_ns = singled_out(self._claims[environment].of(service)), self._clock.now_ns()
            state, before = await self._describe(Target(environment, service, claims)), self._states.get(key)
        if state is None:
            self._states.pop(key, None)
        else:
            self._states[key] = state, asked_ns
        if (None if before is None else before[0]) != state:
            self._changed(environment)

    async def _describe(self, target: Target) -> TargetState | None:
        for actuator in self._bound(target.environment):
            try:
                async with asyncio.timeout(DESCRIBE_S):
                    return await actuator.describe(target)
            except HomeostatError as e:  # unknown to this one, or away: the next may know
                log.debug("%s does not describe %s: %s", actuator.name, target.service, e)
            except Exception as e:  # a plugin may fail in any way: that costs no other target, and no later round
                text = f"cannot describe {target.service}: {type(e).__name__}: {e}".rstrip(": ")
                if actuator.name not in self.troubles and actuator.name not in self._failed:
                    log.exception("actuator %s %s; said once until it answers again", actuator.name, text)
                self._failed[actuator.name] = text
        return None
