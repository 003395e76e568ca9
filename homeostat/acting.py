"""The acting half of a process: executor, actuators, policy, switches, and what it reports to deciding. Who reads what of it is in `wiring`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from connectors.actuators.registry import open_actuators
from connectors.kafka.client import KafkaBroker
from connectors.policy import open_policy
from contracts.errors import Permanent, UnreadableEvent
from contracts.events import Anomaly, Approval, Decision, Incident, Strictness, decode
from contracts.frames import EvidenceFrame, unpack
from contracts.ports import Clock, GraphWrite, Journal, Record
from contracts.settings import Settings
from contracts.topics import DECISIONS, partition_of
from homeostat.forgetting import Forgetting
from homeostat.implementations import load_playbooks
from homeostat.metrics import Sample
from homeostat.ownership import Ownership
from homeostat.run_metrics import RunMetrics
from homeostat.service_states import Services
from homeostat.strictness_told import StrictnessTold
from homeostat.switchboard import Switchboard
from homeostat.target_reports import TargetReporter
from homeostat.target_states import TargetStates
from playbooks.language import reader
from playbooks.runs.executor import Executor
from playbooks.runs.ports import ExecutorWiring
from playbooks.runs.switches import EVERYWHERE
from streams.stage import Emit

log = logging.getLogger(__name__)


class Acting:
    """Owns the executor and its ports. It acts for the environments that `ownership` says."""

    def __init__(
        self,
        settings: Settings,
        broker: KafkaBroker,
        partitions: Mapping[str, int],
        journal: Journal,
        graph: Callable[[GraphWrite], None],
        clock: Clock,
        log_id: str,
    ) -> None:
        """`log_id` names an embedded log, which is new at each start; empty for one that stays."""
        self._broker, self._partitions, self._journal, self._clock = broker, partitions, journal, clock
        self._run_metrics = RunMetrics()
        self.news = asyncio.Event()
        """Set when a switch changed something."""
        self.playbooks = load_playbooks(settings.act)
        self._actuators = open_actuators(settings.act, settings.plugins)
        self._policy = open_policy(settings.act.policy, settings.plugins)
        self.switchboard = Switchboard(broker, journal, clock, log_id, self._turned)
        self.targets = TargetStates(self._actuators, clock, settings.act, self._target_changed)
        self.reporter = TargetReporter(self.targets, journal, self._report, self._taking, clock)
        self.services = Services(settings.detect.warmup_windows, settings.detect.stale_s)
        self.strictness = StrictnessTold()
        self.executor = Executor(
            ExecutorWiring(
                journal=journal,
                actuators=self._actuators,
                policy=self._policy,
                clock=clock,
                playbooks=reader.by_name(self.playbooks),
                settings=settings.act,
                publish=self._publish,
                graph=graph,
                autonomy=settings.decide.autonomy,
                caught_up=partial(self.switchboard.caught_up, settings.act.audit_ack_s),
                changed=self.reporter.ran,
            )
        )
        self.ownership = Ownership(journal, partitions[DECISIONS], self.executor, clock)
        self._forgetting = Forgetting(journal, settings.act, clock)

    async def start(self) -> None:
        """Know the switches, then begin describing targets. Runs left open are taken over once their environment's partition
        is assigned. BrokerUnavailable if the switches can't be read."""
        await self.switchboard.start()
        self.targets.start()
        self.reporter.start()
        self._forgetting.start()

    async def stop(self) -> None:
        """Let effects under way end, publish what is due, release everything."""
        await self._forgetting.stop()
        await self.ownership.stop()
        await self.switchboard.stop()
        await self.targets.stop()
        await self.reporter.stop()
        for actuator in self._actuators:
            await actuator.close()
        await self._policy.close()

    # --- partitions

    async def on_assigned(self, assigned: frozenset[tuple[str, int]]) -> None:
        """These partitions are this process's now, and no others."""
        await self.ownership.assign(p for topic, p in assigned if topic == DECISIONS)

    async def on_revoked(self, revoked: frozenset[tuple[str, int]]) -> None:
        """These partitions go to other processes."""
        gone = frozenset(p for topic, p in revoked if topic == DECISIONS)
        for known in (self.services, self.strictness):
            known.forget(lambda environment: self.ownership.partition(environment) in gone)
        await self.ownership.revoke(gone)

    # --- messages

    async def before_send(self, emit: Emit) -> None:
        """Note the decisions of the own decide stage in the journal of their environment, in order: before they come back."""
        if emit.topic != DECISIONS:
            return
        decision = decode(Decision, emit.value)

        async def note() -> None:
            self.executor.issued(decision)

        try:
            later = await self.ownership.in_order(decision.environment, note, durable=False)
        except Permanent as e:  # its partition was taken away meanwhile: the next owner decides again
            log.warning("decision %s is not noted: %s", decision.id, e)
            return
        if later is not None:
            later.add_done_callback(_report_failure)

    async def on_decision(self, record: Record) -> asyncio.Future[None] | None:
        """Begin the run of a decision, once its environment is owned."""
        decision = decode(Decision, record.value)
        return await self.ownership.in_order(decision.environment, lambda: self.executor.on_decision(decision))

    async def on_approval(self, record: Record) -> asyncio.Future[None] | None:
        """A person's answer, once its environment is owned."""
        approval = decode(Approval, record.value)
        return await self.ownership.in_order(approval.environment, lambda: self.executor.on_approval(approval))

    async def on_evidence(self, record: Record) -> None:
        """What is seen of services: who exists, how they are, and whether an action helped."""
        frame = unpack(EvidenceFrame, record.value)
        self.targets.observe(frame)
        self.reporter.heard(frame.environment)
        self.services.observe(frame, self._clock.now_ns())
        await self.executor.on_evidence(frame)

    async def on_anomaly(self, record: Record) -> None:
        """Which services are anomalous."""
        with contextlib.suppress(UnreadableEvent):  # whoever diagnoses dead-letters it
            self.services.note(decode(Anomaly, record.value))

    async def on_strictness(self, record: Record) -> None:
        """How much more than usual detection asks for in an environment."""
        with contextlib.suppress(UnreadableEvent):  # whoever detects dead-letters it
            self.strictness.note(decode(Strictness, record.value))

    async def on_incident(self, record: Record) -> None:
        """Who suffers, and whether it is over."""
        incident = decode(Incident, record.value)
        self.targets.suspect(incident)
        self.reporter.heard(incident.environment)
        await self.executor.on_incident(incident)

    def _target_changed(self, environment: str) -> None:
        self.reporter.changed(environment)

    def _taking(self, environment: str) -> int:
        return self.ownership.taking(environment)

    def _turned(self, scope: str) -> None:
        self.executor.wake(None if scope == EVERYWHERE else scope)
        self.news.set()

    async def _publish(
        self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]], route: str
    ) -> None:
        partition = partition_of(route or key, self._partitions[topic])
        await self._broker.send(topic, value, key=key.encode(), partition=partition, headers=headers)
        self._run_metrics.note(topic, value)

    async def _report(self, topic: str, key: str, value: bytes, route: str) -> None:
        await self._publish(topic, key, value, (), route)

    # --- how it is

    async def ask_policy(self) -> str:
        """Whether policy answers at all: what can't be checked isn't done."""
        await self._policy.evaluate({})
        return ""

    def lacking(self) -> dict[str, str]:
        """What it can't do now, in words, by what is lacking."""
        found = {f"actuator {name}": text for name, text in self.targets.troubles.items()}
        untaken = self.ownership.lacking()
        return found | {"journal": untaken} if untaken else found

    def status(self) -> dict[str, Any]:
        """What /status shows."""
        return {
            "stopped": self.switchboard.stopped(),
            "actuators": [a.name for a in self._actuators],
            "troubles": dict(sorted(self.targets.troubles.items())),
            "playbooks": sorted(p.name for p in self.playbooks),
            "journal": self.ownership.status(),
            "open_runs": {r.run: r.state.value for r in self._journal.open_runs()},
        }

    def samples(self) -> Iterator[Sample]:
        """Its metrics."""
        for state, n in Counter(r.state.value for r in self._journal.open_runs()).items():
            yield "runs", (state,), n
        yield from self._run_metrics.samples()
        yield from self.strictness.samples()
        yield from self._forgetting.samples()
        for scope, acting in self.switchboard.acting().items():
            yield "acting_allowed", (scope,), float(acting)


def _report_failure(done: asyncio.Future[None]) -> None:
    """What went wrong is told where it is missed: the decision is not believed."""
    if not done.cancelled() and done.exception() is not None:
        log.warning("a decision is not noted: %s", done.exception())
