"""What deciding looks up: targets as actuators describe them, runs from the journal, services from telemetry.

Deciding is synchronous and pure; this keeps its answers fresh in the background.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

from contracts.claims import ClaimsHeard
from contracts.errors import HomeostatError
from contracts.features import Signal
from contracts.frames import EvidenceFrame
from contracts.ports import Actuator, Clock, Journal, RunEntry, Target, TargetState
from contracts.settings import ActSettings
from contracts.supervision import Supervised
from contracts.units import SECOND
from playbooks.guards import HISTORY_S
from playbooks.runs.identities import identified

log = logging.getLogger(__name__)
REFRESH_S = 2.0
DESCRIBE_S = 5.0
"""An actuator that takes longer to describe one target is passed over: the others' states grow old meanwhile."""
FORGET_NS = 600 * SECOND


class TargetStates:
    """`DecisionFacts` of all environments this process owns."""

    def __init__(self, journal: Journal, actuators: Sequence[Actuator], clock: Clock, settings: ActSettings) -> None:
        self._journal, self._actuators, self._clock, self._settings = journal, actuators, clock, settings
        self._claims: defaultdict[str, ClaimsHeard] = defaultdict(ClaimsHeard)
        self._heard_ns: dict[tuple[str, str], int] = {}
        self._states: dict[tuple[str, str], TargetState] = {}
        self._failed: dict[str, str] = {}
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
        for service in frame.services:
            key = (frame.environment, service)
            self._heard_ns[key] = max(frame.window_ns, self._heard_ns.get(key, 0))
        if frame.signal != Signal.EDGES:
            self._claims[frame.environment].take(frame.signal, frame.services, frame.attributes, frame.window_ns)

    def target_state(self, environment: str, service: str) -> TargetState | None:
        """As last described; None if no actuator knows it."""
        return self._states.get((environment, service))

    def history(self, environment: str) -> list[RunEntry]:
        """Runs of the last week, and what each acted on."""
        since_ns = self._clock.now_ns() - int(HISTORY_S * SECOND)
        return identified(self._journal, self._journal.history(environment, since_ns=since_ns))

    def known_services(self, environment: str) -> list[str]:
        """Services heard of in the last ten minutes of event time."""
        newest = max((ns for (e, _), ns in self._heard_ns.items() if e == environment), default=0)
        return sorted(
            s for (e, s), ns in self._heard_ns.items() if e == environment and newest - ns < FORGET_NS and ":" not in s
        )

    def actions(self, environment: str) -> frozenset[str]:
        """All that some actuator can do, and may do for the environment."""
        return frozenset().union(*(a.actions for a in self._bound(environment)))

    def _bound(self, environment: str) -> list[Actuator]:
        return [a for a in self._actuators if self._settings.binding(environment, a.name) is not None]

    async def _run(self) -> None:
        while True:
            before, self._failed = self.troubles, {}
            for key in list(self._heard_ns):
                environment, service = key
                state = await self._describe(Target(environment, service, self._claims[environment].of(service)))
                if state is None:
                    self._states.pop(key, None)
                else:
                    self._states[key] = state
            self.troubles = self._failed
            for name in sorted(before.keys() - self.troubles.keys()):
                log.info("actuator %s describes its targets again", name)
            await asyncio.sleep(REFRESH_S)

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
