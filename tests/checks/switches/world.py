"""Two workers on one log, with everything that may happen to switches: `Story(seed)` is one interleaving.

The log, its delivery, the clocks and the target are made up; switchboard, executor and what confirms a stop are the real ones.
A stop counts as confirmed when `homeostat.control_client.judged` says so of the reports of both workers. From then on, until somebody
writes to go on in the partition of that stop, nothing may begin.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from connectors.kafka.client import KafkaBroker
from contracts.errors import BrokerUnavailable
from contracts.events import Control, NodeStatus, encode
from contracts.ports import Record, StepRequest, StepResult
from contracts.settings import ActSettings
from contracts.topics import CONTROL, JOURNAL
from contracts.units import SECOND
from contracts.verdicts import Autonomy
from homeostat.control_client import judged, turn
from homeostat.switchboard import Switchboard
from playbooks.language.model import Guards, Verify
from playbooks.runs import Executor, ExecutorWiring
from tests.unit.playbooks.runs.support import BOUND, RESTART, T0, MemoryJournal, Policy, Process, decision

PARTITIONS = 3
LENGTH = 40
GUARDS = Guards(blast_radius=1.0, cooldown_s=0, max_per_hour=10**6, max_concurrent=10**3)
PLAYBOOKS = {RESTART.name: replace(RESTART, guards=GUARDS, verify=Verify(()))}


class Log:
    """A topic with partitions in memory; `deaf` readers get errors."""

    def __init__(self) -> None:
        self.records: dict[int, list[Record]] = {p: [] for p in range(PARTITIONS)}
        self.traces = 0

    def append(self, partition: int, value: bytes, key: bytes | None = None) -> Record:
        record = Record(CONTROL, partition, len(self.records[partition]), key, value)
        self.records[partition].append(record)
        return record

    def make_anew(self) -> None:
        """Somebody deleted the topic, and it was made again."""
        self.records = {p: [] for p in range(PARTITIONS)}


class Client:
    """As much of `KafkaBroker` as switches need."""

    def __init__(self, log: Log) -> None:
        self._log, self.deaf = log, False

    async def send(self, topic: str, value: bytes, *, key: bytes | None = None, partition: int | None = None) -> None:
        await asyncio.sleep(0)
        self._log.append(len(key or b"") % PARTITIONS if partition is None else partition, value, key)

    async def ends(self, topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
        if self.deaf:
            raise BrokerUnavailable("deaf")
        found = {(CONTROL, p): len(records) for p, records in self._log.records.items()}
        return found | ({(JOURNAL, 0): self._log.traces} if JOURNAL in topics else {})

    async def read(self, topics: Sequence[str], **_: Any) -> AsyncIterator[Record]:
        whole = [record for records in self._log.records.values() for record in records]
        for record in whole:
            await asyncio.sleep(0)
            if self.deaf:
                raise BrokerUnavailable("deaf")
            yield record
        if self.deaf:
            raise BrokerUnavailable("deaf")


class Stepping:
    """A clock that people and hypervisors set to anything."""

    def __init__(self) -> None:
        self.now = T0

    def now_ns(self) -> int:
        return self.now


class Target(Process):
    """Tells the story before it has an effect."""

    story: Story
    worker: Worker

    async def apply(self, request: StepRequest) -> StepResult:
        self.story.begun(self.worker)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return await super().apply(request)


class Worker:
    """One process: its lives have the same name, and keep the journal or not."""

    def __init__(self, story: Story, name: str, *, durable: bool) -> None:
        self.story, self.name, self.durable = story, name, durable
        self.client, self.clock, self.journal = Client(story.log), Stepping(), MemoryJournal()
        self.delivered = dict.fromkeys(range(PARTITIONS), 0)
        self.up = False

    async def begin(self) -> None:
        if not self.durable:
            self.journal = MemoryJournal()
        client = cast("KafkaBroker", self.client)
        self.board = Switchboard(client, self.journal, self.clock, "", lambda scope: self.executor.wake())
        target = Target()
        target.story, target.worker = self.story, self
        self.executor = Executor(
            ExecutorWiring(
                journal=self.journal,
                actuators=(target,),
                policy=Policy(),
                clock=self.clock,
                playbooks=PLAYBOOKS,
                settings=ActSettings(decision_expiry_s=1e9, max_concurrent=1000, environments=BOUND),
                publish=_published,
                graph=lambda write: None,
                autonomy=Autonomy.ACT,
                caught_up=lambda: self.board.caught_up(30),
                changed=lambda _: None,
            )
        )
        try:
            await self.board.start()
        except BrokerUnavailable:
            return  # the process ends, and is started again some time
        self.story.log.traces += 1
        self.up = True
        await self.executor.resume()

    async def end(self, *, gracefully: bool) -> None:
        if not self.up:
            return
        self.up = False
        await self.board.stop()
        if not gracefully:
            for task in list(self.executor._tasks.values()):
                task.cancel()
        await self.executor.stop()

    async def hear(self, luck: random.Random) -> None:
        """The follower gets the next record of a partition, or one that it had before."""
        p = luck.randrange(PARTITIONS)
        records, at = self.story.log.records[p], self.delivered[p]
        if at > len(records):  # the log was made anew
            at = 0
        if at and luck.random() < 0.2:
            at = luck.randrange(at)
        if at < len(records) and self.up:
            self.delivered[p] = at + 1
            await asyncio.gather(self.board.take(records[at]), return_exceptions=True)

    def report(self) -> NodeStatus:
        return NodeStatus(
            node=self.name,
            stage="",
            lifecycle="running" if self.up else "stopped",
            healthy=True,
            time_ns=self.clock.now,
            controls=self.board.followed(),
            stopped=self.board.stopped(),
            effects=self.executor.effects,
        )


async def _published(*_: Any) -> None:
    await asyncio.sleep(0)


class Story:
    """One interleaving; `wrong` are the effects that began after a confirmed stop."""

    def __init__(self, seed: int) -> None:
        self.luck, self.log = random.Random(seed), Log()
        self.wrong: list[str] = []
        self.effects = self.confirmations = self._decisions = 0
        self._binding: list[tuple[str, int, int]] = []
        """Confirmed stops: scope, partition and offset; -1 where the log that held it is no more."""
        durable = self.luck.random() < 0.3
        self.workers = [Worker(self, name, durable=durable) for name in ("a", "b")]
        self._people = Client(self.log)

    def begun(self, worker: Worker) -> None:
        """An effect begins in the environment `test`."""
        self.effects += 1
        self.wrong += [f"{worker.name} after a stop of {s}" for s, _, _ in self._binding if s in {"*", "test"}]

    async def tell(self) -> None:
        for worker in self.workers:
            await worker.begin()
        for _ in range(LENGTH):
            await self._event()
            for _ in range(self.luck.choice((0, 1, 2, 5, 20))):
                await asyncio.sleep(0)
        for worker in self.workers:
            await worker.end(gracefully=True)

    async def _event(self) -> None:
        what = self.luck.choices(
            (self._decide, self._hear, self._stop, self._go_on, self._forge, self._step_clock, self._die, self._deafen,
             self._make_anew, self._wait),
            (10, 16, 5, 7, 2, 4, 3, 2, 0.4, 4),
        )[0]  # fmt: skip
        await what()

    def _someone(self) -> Worker:
        return self.luck.choice(self.workers)

    def _any_time(self) -> int:
        return T0 + self.luck.randrange(-(10**6), 10**6) * SECOND

    async def _decide(self) -> None:
        worker = self._someone()
        if worker.up:
            self._decisions += 1
            await decided(worker.executor, f"d{self._decisions}", worker.clock.now)

    async def _hear(self) -> None:
        for worker in self.workers:
            for _ in range(self.luck.randrange(4)):
                await worker.hear(self.luck)

    async def _stop(self) -> None:
        scope = self.luck.choice(("*", "test", "elsewhere"))
        wanted, control = await self._turn(scope, acting=False)
        for _ in range(self.luck.choice((0, 3, 12))):
            await self._hear()
            await asyncio.sleep(0)
        found = judged({w.name: w.report() for w in self.workers}, wanted, control)
        if not found.waiting:
            self.confirmations += 1
            self._binding += [(scope, int(p), offset - 1) for p, offset in wanted.items()]

    async def _go_on(self) -> None:
        await self._turn(self.luck.choice(("*", "*", "test")), acting=True)

    async def _turn(self, scope: str, *, acting: bool) -> tuple[dict[str, int], Control]:
        autonomy = Autonomy.ACT if acting else Autonomy.OBSERVE
        control = Control(scope=scope, acting=acting, autonomy=autonomy, by="ann", time_ns=self._any_time())
        if acting:  # from the moment when it is being written on
            self._stop_driving(scope, lambda partition, offset: True)
        return await turn(cast("KafkaBroker", self._people), control), control

    async def _forge(self) -> None:
        """A record in whichever partition: nonsense, a stop, or a permission, with any time."""
        partition = self.luck.randrange(PARTITIONS)
        scope, kind = self.luck.choice(("*", "test")), self.luck.randrange(3)
        if kind == 0:
            self.log.append(partition, b"nonsense", b"*")
            return
        control = Control(scope=scope, acting=kind == 1, autonomy=Autonomy.ACT, by="mallory", time_ns=self._any_time())
        record = self.log.append(partition, encode(control), scope.encode())
        if control.acting:
            self._stop_driving(scope, lambda p, offset: p == partition and 0 <= offset < record.offset)

    def _stop_driving(self, scope: str, ends: Callable[[int, int], bool]) -> None:
        """Somebody says to go on in a scope. Said of all environments it also ends what was lost with its log: all are told
        that it was lost, and that nothing is done before somebody says so."""
        self._binding = [
            (s, p, offset)
            for s, p, offset in self._binding
            if not (s == scope and ends(p, offset)) and not (scope == "*" and offset < 0)
        ]

    async def _step_clock(self) -> None:
        self._someone().clock.now = self._any_time()

    async def _die(self) -> None:
        worker = self._someone()
        await worker.end(gracefully=self.luck.random() < 0.5)
        await worker.begin()

    async def _deafen(self) -> None:
        client = self._someone().client
        client.deaf = not client.deaf

    async def _make_anew(self) -> None:
        self.log.make_anew()
        self._binding = [(scope, partition, -1) for scope, partition, _ in self._binding]

    async def _wait(self) -> None:
        for worker in self.workers:
            if worker.up:
                worker.executor.wake()
        for _ in range(30):
            await asyncio.sleep(0)


async def decided(executor: Executor, name: str, now_ns: int) -> None:
    """A decision to act."""
    given = decision(name=name, now_ns=now_ns)
    executor.issued(given)
    await executor.on_decision(given)
