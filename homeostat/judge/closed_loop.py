"""The whole loop around a simulated system, on one virtual clock: stages in memory, the executor, and the system that it acts on."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from connectors.journal.sqlite import SqliteJournal
from connectors.policy import open_policy
from contracts.events import Decision, Incident, decode
from contracts.frames import EvidenceFrame, unpack
from contracts.ports import Record
from contracts.settings import BindingSettings, Settings
from contracts.topics import DECISIONS, EVIDENCE, INCIDENTS, TOPICS, partition_of
from contracts.verdicts import Autonomy
from homeostat import switchboard
from homeostat.judge.past import evidence_from_before
from homeostat.judge.trial import Trial, trial_of
from homeostat.judge.virtual_time import VirtualClock, VirtualLoop, run_virtually
from homeostat.judge.witness import TrialWitness, swear
from homeostat.target_reports import TargetReporter
from homeostat.target_states import TargetStates
from homeostat.wiring import stage_specs
from playbooks.language import library, reader
from playbooks.runs.executor import Executor
from playbooks.runs.ports import ExecutorWiring
from playbooks.runs.switches import LogPosition
from streams.in_memory import MemoryPipeline
from streams.stage import StageSpec
from twin.episode import START_NS, SimulatedEpisode
from twin.twin_actuator import TwinActuator

PARTITIONS: Final = 1
ARRIVES_S: Final = 0.3
"""A window's rows are there so long after its end where nothing delays them: late spans are waited for, and messages take their time."""
TICKS: Final = {"window": 1, "request": 5}
"""Per second, by fidelity."""
PERCEIVING: Final[dict[str, tuple[str, ...]]] = {"window": (), "request": ("ingest", "edges", "features")}
"""Stages before detection: at window level the frames come from the simulator."""
WATCHING: Final = ("detect", "diagnose")
DECIDING: Final = (*WATCHING, "decide")


def try_episode(
    episode: SimulatedEpisode,
    settings: Settings | None = None,
    *,
    stages: Sequence[str] = DECIDING,
    act: bool = True,
) -> Trial:
    """Run an episode to its end, through these stages from detection on; `act`: whether anything is done to the system."""

    async def main(loop: VirtualLoop) -> Trial:
        return await ClosedLoop(loop, episode, settings or Settings(), stages, act=act).run()

    began = time.process_time()
    trial = run_virtually(main)
    trial.cpu_s = round(time.process_time() - began, 3)
    return trial


class ClosedLoop:
    """One run."""

    def __init__(
        self, loop: VirtualLoop, episode: SimulatedEpisode, settings: Settings, stages: Sequence[str], *, act: bool
    ) -> None:
        self._loop, self._episode, self._acts = loop, episode, act
        self._clock = VirtualClock(loop, START_NS)
        self._journal = SqliteJournal(None)
        self._policy = open_policy(settings.act.policy)
        plan = episode.plan
        bound = settings.act.model_copy(update={"environments": {plan.environment: BindingSettings()}})
        autonomy = settings.decide.autonomy if act else Autonomy.OBSERVE
        decide = settings.decide.model_copy(update={"autonomy": autonomy})
        settings = settings.model_copy(update={"act": bound, "decide": decide})
        actuators, playbooks = (TwinActuator(episode),), library()
        self._targets = TargetStates(actuators, self._clock, bound, self._target_changed)
        self._reporter = TargetReporter(self._targets, self._journal, self._report, lambda _: 1, self._clock)
        specs: tuple[StageSpec, ...] = stage_specs(settings, dict.fromkeys(TOPICS, PARTITIONS), playbooks)
        self._heard: deque[Record] = deque()
        wanted = {*PERCEIVING[episode.fidelity.name], *stages}
        self._pipeline = MemoryPipeline([s for s in specs if s.name in wanted], PARTITIONS, self._heard.append)
        self._ticks = TICKS[episode.fidelity.name]
        self._executor = Executor(
            ExecutorWiring(
                journal=self._journal,
                actuators=actuators,
                policy=self._policy,
                clock=self._clock,
                playbooks=reader.by_name(playbooks),
                settings=bound,
                publish=self._publish,
                graph=_nowhere,
                autonomy=autonomy,
                caught_up=_at_once,
                changed=self._reporter.ran,
            )
        )
        trial = trial_of(episode, acting=act)
        self._witness = TrialWitness(trial, START_NS)
        self._simulating_s = 0.0

    async def run(self) -> Trial:
        """Until the episode is over."""
        if self._acts:
            self._targets.start()
            self._reporter.start()
            now = switchboard.initial(self._clock.now_ns())
            await self._executor.on_control(now, LogPosition("", 0, 0))
            for frame in evidence_from_before(self._episode.plan, START_NS):
                await self._executor.on_evidence(frame)
        while not self._episode.over:
            began = time.process_time()
            messages = self._episode.second()
            self._simulating_s += time.process_time() - began
            second = self._episode.system.now_s
            await self._until(second + ARRIVES_S)
            for message in messages:
                self._pipeline.feed(
                    message.topic, message.value, self._clock.now_ns(), key=message.key.encode() or None, partition=0
                )
            await self._hear()
            for tick in range(self._ticks):
                await self._until(second + ARRIVES_S + tick / self._ticks)
                self._pipeline.tick(self._clock.now_ns())
                await self._hear()
            await self._until(second + 1.0)
        await self._executor.stop()
        await self._targets.stop()
        await self._reporter.stop()
        self._journal.close()
        await self._policy.close()
        self._witness.trial.simulator_cpu_s = round(self._simulating_s, 3)
        return swear(self._witness.trial, self._episode.truth)

    async def _until(self, virtual_s: float) -> None:
        """Let time pass: runs that wait for it go on meanwhile."""
        left = virtual_s - self._loop.virtual_s
        if left > 0:
            await asyncio.sleep(left)

    async def _hear(self) -> None:
        """Whoever acts hears what was sent, in order, as the consume loop would tell it."""
        while self._heard:
            record = self._heard.popleft()
            self._witness.hear(record, self._loop.virtual_s)
            if not self._acts:
                continue
            if record.topic == EVIDENCE:
                frame = unpack(EvidenceFrame, record.value)
                self._targets.observe(frame)
                self._reporter.heard(frame.environment)
                await self._executor.on_evidence(frame)
            elif record.topic == INCIDENTS:
                incident = decode(Incident, record.value)
                self._targets.suspect(incident)
                self._reporter.heard(incident.environment)
                await self._executor.on_incident(incident)
            elif record.topic == DECISIONS:
                decision = decode(Decision, record.value)
                self._executor.issued(decision)
                await self._executor.on_decision(decision)

    async def _publish(
        self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]], route: str
    ) -> None:
        del headers
        partition = partition_of(route or key, PARTITIONS)
        self._pipeline.feed(topic, value, self._clock.now_ns(), key=key.encode(), partition=partition)

    def _target_changed(self, environment: str) -> None:
        self._reporter.changed(environment)

    async def _report(self, topic: str, key: str, value: bytes, route: str) -> None:
        await self._publish(topic, key, value, (), route)


async def _at_once() -> None:
    """There are no switches to catch up with."""


def _nowhere(_: object) -> None:
    """No graph is kept."""
