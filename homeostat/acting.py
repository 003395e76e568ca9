"""The acting half of a process: executor, actuators, policy, and the facts that decisions look up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from connectors.actuators.registry import open_actuators
from connectors.journal.kafka import KafkaJournal
from connectors.kafka.client import KafkaBroker
from connectors.policy import open_policy
from contracts.errors import HomeostatError, Permanent, UnreadableEvent
from contracts.events import Anomaly, Approval, Decision, Incident, decode
from contracts.frames import EvidenceFrame, unpack
from contracts.ports import Clock, GraphWrite, Journal, Record
from contracts.retry import every, retrying
from contracts.settings import Settings
from contracts.supervision import Supervised
from contracts.topics import ANOMALIES, APPROVALS, CONTROL, DECISIONS, EVIDENCE, INCIDENTS, partition_of
from contracts.units import SECOND
from homeostat.lanes import Lanes, Work
from homeostat.metrics import Sample
from homeostat.run_metrics import RunMetrics
from homeostat.service_states import Services
from homeostat.switchboard import Switchboard
from homeostat.target_states import TargetStates
from homeostat.wiring import load_playbooks
from playbooks.language import reader
from playbooks.runs.executor import Executor
from playbooks.runs.switches import EVERYWHERE
from playbooks.runs.wiring import ExecutorWiring
from streams.stage import Emit
from streams.worker import Handler

log = logging.getLogger(__name__)
LOST_S: Final = 10.0
"""A partition of the journal that another worker took, but that is assigned to us all the same, is taken back after this
long: the other one was a straggler who did not know yet. A straggler in our place would have been told by then."""
_RETRY_S: Final = 0.5
REVOKED_S: Final = 3.0
"""How long effects under way may hold up a rebalance."""
SETTLE_S: Final = 10.0


class Acting:
    """Owns the executor and its ports; `handlers` are what the consume loop gives it.

    It acts for the environments whose partition of the decisions is assigned to this process *and* whose journal it has
    taken. Decisions and approvals wait for both, and nothing else waits for them.
    """

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
        self._broker, self._partitions, self._journal = broker, partitions, journal
        self._shared = journal if isinstance(journal, KafkaJournal) else None
        self._clock = clock
        self._lanes = Lanes()
        self._keeper = Supervised("journal-keeper", self._keep, clock=clock)
        self._run_metrics = RunMetrics()
        self.switchboard = Switchboard(broker, journal, clock, log_id, self._turned)
        self.news = asyncio.Event()
        """Set when a switch changed something."""
        self.playbooks = load_playbooks(settings.act)
        self._actuators = open_actuators(settings.act, settings.plugins)
        self._policy = open_policy(settings.act.policy, settings.plugins)
        self.facts = TargetStates(journal, self._actuators, clock, settings.act)
        self.services = Services(settings.detect.warmup_windows, settings.detect.stale_s)
        self._untaken_ns = 0
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
                heard=partial(self.switchboard.heard, settings.act.audit_ack_s),
            )
        )
        self.handlers: Mapping[str, tuple[Handler, ...]] = {
            DECISIONS: (self._on_decision,),
            APPROVALS: (self._on_approval,),
            CONTROL: (self.switchboard.take,),
            EVIDENCE: (self._on_evidence,),
            INCIDENTS: (self._on_incident,),
            ANOMALIES: (self._on_anomaly,),
        }

    async def start(self) -> None:
        """Know the switches, then begin keeping facts fresh. Runs left open are taken over once their environment's partition
        is assigned. BrokerUnavailable if the switches can't be read."""
        await self.switchboard.start()
        self.facts.start()

    async def stop(self) -> None:
        """Let effects under way end, publish what is due, release everything."""
        await self._keeper.stop()
        await self._lanes.stop()
        await self.executor.stop()
        if self._shared is not None:
            await self._shared.release(self._lanes.assigned)
        await self.switchboard.stop()
        await self.facts.stop()
        for actuator in self._actuators:
            await actuator.close()
        await self._policy.close()

    async def on_assigned(self, assigned: frozenset[tuple[str, int]]) -> None:
        """This process owns these partitions now: in the background it takes their journal and goes on with open runs."""
        await self._keeper.stop()
        self._lanes.assign(p for topic, p in assigned if topic == DECISIONS)
        self._keeper.start()

    async def on_revoked(self, revoked: frozenset[tuple[str, int]]) -> None:
        """These partitions go to other processes: stop driving the runs of their environments."""
        await self._keeper.stop()
        gone = frozenset(p for topic, p in revoked if topic == DECISIONS)
        self._lanes.revoke(gone)
        self.services.forget(lambda environment: self._partition(environment) in gone)
        await self._leave(lambda environment: self._partition(environment) in gone)
        if self._shared is not None:
            await self._shared.release(gone)

    async def settled(self) -> None:
        """What was done with the messages taken so far outlives this process. Retryable if not in time."""
        if self._shared is not None:
            await self._shared.settle_all(SETTLE_S)
        else:
            await self._journal.settled("", SETTLE_S)

    async def _keep(self) -> None:
        """Take what is assigned; take back what was lost although it is assigned."""
        await asyncio.gather(*(self._take(partition) for partition in sorted(self._lanes.assigned)))
        while self._shared is not None:
            lost = self._shared.lost & self._lanes.assigned
            self._lanes.lose(lost)
            await asyncio.sleep(LOST_S)
            for partition in sorted(lost & self._lanes.assigned):
                log.warning(
                    "journal partition %d is assigned to us and lost to another worker: taking it back", partition
                )
                await self._take(partition)

    async def _take(self, partition: int) -> None:
        async def taken() -> None:
            self._lanes.lose([partition])
            if self._shared is not None:
                await self._leave(lambda environment: self._partition(environment) == partition)
                await self._shared.take(partition, self._clock.now_ns())
            self._lanes.take(partition)
            found = sorted({r.environment for r in self._journal.open_runs()})
            await self.executor.resume([e for e in found if self._partition(e) == partition])

        def told(error: Exception, _pause_s: float) -> None:
            trace = None if isinstance(error, HomeostatError) else error
            level = logging.WARNING if trace is None else logging.ERROR
            log.log(
                level, "the journal of partition %d cannot be taken, trying again: %s", partition, error, exc_info=trace
            )

        # Whatever is wrong, the keeper must go on: without it nothing is done in any environment.
        await retrying(taken, pauses=every(_RETRY_S), on=Exception, told=told)

    async def _leave(self, theirs: Callable[[str], bool]) -> None:
        """Stop driving the runs of these environments: whoever owns their journal next goes on, be it this process again."""
        await self.executor.release(lambda environment: not theirs(environment), REVOKED_S)

    def _partition(self, environment: str) -> int:
        return partition_of(environment, self._partitions[DECISIONS])

    async def before_send(self, emit: Emit) -> None:
        """Note the decisions of the own decide stage in the journal of their environment, in turn: before they come back."""
        if emit.topic != DECISIONS:
            return
        decision = decode(Decision, emit.value)
        try:
            later = await self._lanes.do(self._partition(decision.environment), partial(self._issued, decision))
        except Permanent as e:  # its partition was taken away meanwhile: the next owner decides again
            log.warning("decision %s is not noted: %s", decision.id, e)
            return
        if later is not None:
            later.add_done_callback(_seen)

    async def _issued(self, decision: Decision) -> None:
        self.executor.issued(decision)

    async def _on_decision(self, record: Record) -> asyncio.Future[None] | None:
        decision = decode(Decision, record.value)
        return await self._in_turn(decision.environment, lambda: self.executor.on_decision(decision))

    async def _on_approval(self, record: Record) -> asyncio.Future[None] | None:
        approval = decode(Approval, record.value)
        return await self._in_turn(approval.environment, lambda: self.executor.on_approval(approval))

    async def _in_turn(self, environment: str, work: Work) -> asyncio.Future[None] | None:
        """Done, and kept: a message whose run is not durable yet, and that another owner would not know of, is not over."""
        kept = partial(self._journal.settled, environment, SETTLE_S)
        return await self._lanes.do(self._partition(environment), work, kept)

    def _turned(self, scope: str) -> None:
        self.executor.poke(None if scope == EVERYWHERE else scope)
        self.news.set()

    async def _on_evidence(self, record: Record) -> None:
        frame = unpack(EvidenceFrame, record.value)
        self.facts.observe(frame)
        self.services.observe(frame, self._clock.now_ns())
        await self.executor.on_evidence(frame)

    async def _on_anomaly(self, record: Record) -> None:
        with contextlib.suppress(UnreadableEvent):  # whoever diagnoses keeps it
            self.services.note(decode(Anomaly, record.value))

    async def _on_incident(self, record: Record) -> None:
        await self.executor.on_incident(decode(Incident, record.value))

    async def _publish(
        self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]], route: str
    ) -> None:
        partition = partition_of(route or key, self._partitions[topic])
        await self._broker.send(topic, value, key=key.encode(), partition=partition, headers=headers)
        self._run_metrics.note(topic, value)

    async def ask_policy(self) -> str:
        """Whether policy answers at all: what can't be checked isn't done."""
        await self._policy.evaluate({})
        return ""

    def lacking(self) -> dict[str, str]:
        """What it can't do now, in words, by what is lacking."""
        found = {f"actuator {name}": text for name, text in self.facts.troubles.items()}
        untaken, now_ns = sorted(self._lanes.assigned - self._lanes.taken), self._clock.now_ns()
        self._untaken_ns = (self._untaken_ns or now_ns) if untaken else 0
        if untaken and now_ns - self._untaken_ns > LOST_S * SECOND:
            found["journal"] = f"partitions {untaken} are not taken: nothing is done in their environments"
        return found

    def status(self) -> dict[str, Any]:
        """What /status shows."""
        return {
            "stopped": self.switchboard.stopped(),
            "actuators": [a.name for a in self._actuators],
            "troubles": dict(sorted(self.facts.troubles.items())),
            "playbooks": sorted(p.name for p in self.playbooks),
            "journal": {
                "partitions": sorted(self._lanes.taken),
                "pending": 0 if self._shared is None else self._shared.pending,
            },
            "open_runs": {r.run: r.state.value for r in self._journal.open_runs()},
        }

    def samples(self) -> Iterator[Sample]:
        """Its metrics."""
        for state, n in Counter(r.state.value for r in self._journal.open_runs()).items():
            yield "runs", (state,), n
        yield from self._run_metrics.samples()
        for scope, acting in self.switchboard.acting().items():
            yield "acting_allowed", (scope,), float(acting)


def _seen(done: asyncio.Future[None]) -> None:
    """What went wrong with it is said where it is missed: the decision is not believed."""
    if not done.cancelled() and done.exception() is not None:
        log.warning("a decision is not noted: %s", done.exception())
