"""The acting half of a process: executor, actuators, policy, and the facts that decisions look up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from connectors.actuators.registry import open_actuators
from connectors.kafka.client import KafkaBroker
from connectors.policy import open_policy
from contracts.events import Approval, Control, Decision, Incident, decode
from contracts.frames import EvidenceFrame, unpack
from contracts.ports import Clock, GraphWrite, Journal, Record
from contracts.settings import Settings
from contracts.topics import APPROVALS, CONTROL, DECISIONS, EVIDENCE, INCIDENTS, partition_of
from homeostat.facts import Facts
from homeostat.metrics import Sample
from homeostat.tally import RunTally
from homeostat.wiring import load_playbooks
from playbooks.language import reader
from playbooks.runs.executor import Executor
from playbooks.runs.wiring import ExecutorWiring
from streams.worker import Handler


class Acting:
    """Owns the executor and its ports; `handlers` are what the consume loop gives it."""

    def __init__(
        self,
        settings: Settings,
        broker: KafkaBroker,
        partitions: Mapping[str, int],
        journal: Journal,
        graph: Callable[[GraphWrite], None],
        clock: Clock,
    ) -> None:
        self._broker, self._partitions, self._journal = broker, partitions, journal
        self._tally = RunTally()
        self.playbooks = load_playbooks(settings.act)
        self._actuators = open_actuators(settings.act)
        self._policy = open_policy(settings.act.policy)
        self.facts = Facts(journal, self._actuators, clock)
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
            )
        )
        self.handlers: Mapping[str, tuple[Handler, ...]] = {
            DECISIONS: (self._on_decision,),
            APPROVALS: (self._on_approval,),
            CONTROL: (self._on_control,),
            EVIDENCE: (self._on_evidence,),
            INCIDENTS: (self._on_incident,),
        }

    async def start(self) -> None:
        """Begin keeping facts fresh. Runs left open are taken over once their environment's partition is assigned."""
        self.facts.start()

    async def stop(self) -> None:
        """Let effects under way end, publish what is due, release everything."""
        await self.executor.stop()
        await self.facts.stop()
        for actuator in self._actuators:
            await actuator.close()
        await self._policy.close()

    async def on_assigned(self, assigned: frozenset[tuple[str, int]]) -> None:
        """This process owns these partitions now: take over the open runs of their environments."""
        count = self._partitions[DECISIONS]
        found = {r.environment for r in self._journal.open_runs()}
        await self.executor.resume([e for e in sorted(found) if (DECISIONS, partition_of(e, count)) in assigned])

    async def _on_decision(self, record: Record) -> None:
        await self.executor.on_decision(decode(Decision, record.value))

    async def _on_approval(self, record: Record) -> None:
        await self.executor.on_approval(decode(Approval, record.value))

    async def _on_control(self, record: Record) -> None:
        await self.executor.on_control(decode(Control, record.value))

    async def _on_evidence(self, record: Record) -> None:
        frame = unpack(EvidenceFrame, record.value)
        self.facts.observe(frame)
        await self.executor.on_evidence(frame)

    async def _on_incident(self, record: Record) -> None:
        await self.executor.on_incident(decode(Incident, record.value))

    async def _publish(
        self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]], route: str
    ) -> None:
        partition = partition_of(route or key, self._partitions[topic])
        await self._broker.send(topic, value, key=key.encode(), partition=partition, headers=headers)
        self._tally.note(topic, value)

    def status(self) -> dict[str, Any]:
        """What /status shows."""
        return {
            "actuators": [a.name for a in self._actuators],
            "playbooks": sorted(p.name for p in self.playbooks),
            "open_runs": {r.run: r.state.value for r in self._journal.open_runs()},
        }

    def samples(self) -> Iterator[Sample]:
        """Its metrics."""
        for state, n in Counter(r.state.value for r in self._journal.open_runs()).items():
            yield "runs", (state,), n
        for state, n in self._tally.samples():
            yield "runs_ended", (state,), n
