"""A small world for the executor: a journal in memory, a target that can be acted on, a clock, a topic, evidence."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from contracts.errors import BrokerUnavailable, Conflict, Fenced, TargetNotFound, UnknownName
from contracts.events import ActionRecord, Approval, Control, Decision, Option, decode
from contracts.frames.feature_frame import EvidenceFrame
from contracts.ports import (
    Applied,
    GraphWrite,
    Identity,
    ManualClock,
    PolicyVerdict,
    RunEntry,
    StepEntry,
    StepRequest,
    StepResult,
    Target,
    TargetState,
)
from contracts.settings import ActSettings, BindingSettings
from contracts.units import SECOND
from contracts.verdicts import (
    TERMINAL_RUN_STATES,
    Autonomy,
    CauseKind,
    DecisionVerdict,
    RunState,
    ServiceState,
)
from playbooks.language.model import Check, Guards, Match, Playbook, Step, Trigger, Verify
from playbooks.runs import Executor, ExecutorWiring, switches
from tests.patience import PATIENCE_S

T0 = 1_700_000_000 * SECOND
BOUND = {"test": BindingSettings()}


class MemoryJournal:
    """The journal port without a file. Data goes through JSON, as it does on disk."""

    def __init__(self) -> None:
        self.away = False
        self.entries: dict[str, RunEntry] = {}
        self.kept: dict[str, bytes] = {}
        self.records: dict[str, dict[int, list[Any]]] = defaultdict(dict)

    @contextmanager
    def together(self, environment: str) -> Iterator[None]:
        kept = (
            dict(self.entries),
            dict(self.kept),
            {e: {n: list(r) for n, r in t.items()} for e, t in self.records.items()},
        )
        try:
            yield
        except BaseException:
            self.entries, self.kept, self.records = kept[0], kept[1], defaultdict(dict, kept[2])
            raise

    def create(
        self,
        *,
        run: str,
        decision: str,
        environment: str,
        target: str,
        playbook: str,
        definition: Mapping[str, Any],
        now_ns: int,
    ) -> RunEntry | None:
        if any(e.decision == decision for e in self.entries.values()):
            return None
        entry = RunEntry(
            run, decision, environment, target, playbook, RunState.PENDING, now_ns, now_ns, 1, _json(definition)
        )
        self.entries[run] = entry
        return entry

    def claim(self, run: str, now_ns: int) -> RunEntry:
        if run not in self.entries:
            raise UnknownName("run", run, self.entries)
        self.entries[run] = replace(self.entries[run], fence=self.entries[run].fence + 1, updated_ns=now_ns)
        return self.entries[run]

    def set_state(self, run: str, fence: int, state: RunState, now_ns: int) -> None:
        self.entries[run] = replace(self._owned(run, fence), state=state, updated_ns=now_ns)

    def step(self, entry: StepEntry, fence: int) -> None:
        run = self._owned(entry.run, fence)
        line = replace(entry, data=_json(entry.data))
        self.entries[entry.run] = replace(run, steps=(*run.steps, line), updated_ns=entry.time_ns)

    def load(self, run: str) -> RunEntry | None:
        return self.entries.get(run)

    def open_runs(self, environment: str | None = None) -> list[RunEntry]:
        return [
            e
            for e in self.entries.values()
            if e.state not in TERMINAL_RUN_STATES and environment in {None, e.environment}
        ]

    def history(
        self, environment: str, *, since_ns: int = 0, target: str | None = None, playbook: str | None = None
    ) -> list[RunEntry]:
        return [
            e
            for e in self.entries.values()
            if e.environment == environment
            and e.created_ns >= since_ns
            and target in {None, e.target}
            and playbook in {None, e.playbook}
        ]

    def put(self, key: str, value: Mapping[str, Any], environment: str = "") -> None:
        self.kept[key] = msgspec.json.encode(value)

    def get(self, key: str) -> Mapping[str, Any] | None:
        return msgspec.json.decode(self.kept[key]) if key in self.kept else None

    def facts(self, prefix: str) -> dict[str, Mapping[str, Any]]:
        return {k: msgspec.json.decode(v) for k, v in self.kept.items() if k.startswith(prefix)}

    def facts_of_runs(self, prefix: str, since_ns: int) -> dict[str, Mapping[str, Any]]:
        lately = [run for run, e in sorted(self.entries.items()) if e.created_ns >= since_ns]
        return {run: fact for run in lately if (fact := self.get(prefix + run)) is not None}

    def forget(self, keys: Collection[str], environment: str = "") -> None:
        for key in keys:
            self.kept.pop(key, None)

    def ended_runs(self, before_ns: int, most: int) -> list[RunEntry]:
        ended = [e for e in self.entries.values() if e.state in TERMINAL_RUN_STATES and e.updated_ns < before_ns]
        return [replace(e, steps=()) for e in sorted(ended, key=lambda e: e.updated_ns)[:most]]

    def forget_runs(self, runs: Collection[str]) -> None:
        there = [self.entries[run] for run in runs if run in self.entries]
        if any(e.state not in TERMINAL_RUN_STATES for e in there):
            raise Conflict("an open run is not forgotten")
        for entry in there:
            del self.entries[entry.run]

    def sizes(self) -> Mapping[str, int]:
        return {"runs": len(self.entries), "facts": len(self.kept)}

    def append_audit(self, environment: str, record: bytes, sequence: int, published: bool = False) -> None:
        if sequence in self.records[environment]:
            raise Conflict(f"audit record {sequence} exists")
        self.records[environment][sequence] = [record, published]

    def audit(self, environment: str, *, after: int = 0, unpublished: bool = False) -> list[tuple[int, bytes]]:
        rows = sorted(self.records[environment].items())
        return [(s, r) for s, (r, done) in rows if s > after and not (unpublished and done)]

    def mark_published(self, environment: str, sequence: int) -> None:
        self.records[environment][sequence][1] = True

    async def settled(self, environment: str, timeout_s: float) -> None:
        if self.away:
            raise BrokerUnavailable("the log of the journal is away")

    def close(self) -> None:
        pass

    def _owned(self, run: str, fence: int) -> RunEntry:
        if self.entries[run].fence != fence:
            raise Fenced(f"{run} was taken over")
        return self.entries[run]


def _json(data: Mapping[str, Any]) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(data))
    return decoded


@dataclass
class Process:
    """A target with replicas, and an actuator on it that counts effects by key."""

    state: TargetState = field(default_factory=lambda: TargetState(2, 2, version="1.1", previous_version="1.0"))
    identity: Identity = field(default_factory=lambda: Identity("process:here", "service", "cart", uid="u1"))
    name: str = "process"
    actions: frozenset[str] = frozenset({"scale", "restart", "rollback"})
    applied_keys: list[str] = field(default_factory=list)
    requests: list[StepRequest] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    describe_error: Exception | None = None
    answer: Applied | Exception | None = None
    block: asyncio.Event | None = None

    async def resolve(self, target: Target) -> Identity:
        return (await self.describe(target)).identity or self.identity

    async def describe(self, target: Target) -> TargetState:
        if self.describe_error is not None:
            raise self.describe_error
        if target.service != "cart":
            raise TargetNotFound(f"no {target.service}; there is cart")
        return replace(self.state, identity=self.identity)

    async def apply(self, request: StepRequest) -> StepResult:
        self.requests.append(request)
        if self.block is not None:
            await self.block.wait()
        if self.errors:
            raise self.errors.pop(0)
        assert request.key not in self.applied_keys, "applied twice"
        self.applied_keys.append(request.key)
        if request.action == "scale":
            self.state = replace(self.state, replicas=request.arguments["replicas"])
        return StepResult(f"{request.action} done", self.state)

    async def applied(self, request: StepRequest) -> Applied:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or (Applied.YES if request.key in self.applied_keys else Applied.NO)

    async def close(self) -> None:
        pass


@dataclass
class Policy:
    """A policy engine that says what it is told to."""

    verdict: PolicyVerdict | Exception = field(default_factory=lambda: PolicyVerdict(allowed=True))
    asked: list[Mapping[str, Any]] = field(default_factory=list)

    async def evaluate(self, document: Mapping[str, Any]) -> PolicyVerdict:
        self.asked.append(document)
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict

    async def close(self) -> None:
        pass


RESTART = Playbook(
    name="restart-service",
    version="1",
    description="Restart it",
    trigger=Trigger(Match()),
    tier=1,
    guards=Guards(blast_radius=1.0),
    steps=(Step("restart", "restart"),),
    verify=Verify((Check("error_rate"),), for_s=3.0, within_s=30.0),
)
SCALE = replace(
    RESTART,
    name="scale-out",
    tier=2,
    steps=(Step("grow", "scale", {"by": 1}),),
    rollback=(Step("shrink", "scale"),),
)


class Told(Executor):
    """An executor that is told of switches in the order in which a test turns them, and whose decisions are its own."""

    _turned = itertools.count()

    async def on_decision(self, decision: Decision) -> None:
        self.issued(decision)
        await super().on_decision(decision)

    async def on_control(self, control: Control, place: switches.LogPosition | None = None) -> None:
        await super().on_control(control, place or switches.LogPosition("log", 0, next(self._turned)))


MENDED = -1.0


class World:
    """Everything around one executor, which can die and come back (`reborn`)."""

    def __init__(self, *playbooks: Playbook, settings: ActSettings | None = None) -> None:
        self.playbooks = {p.name: p for p in (playbooks or (RESTART, SCALE))}
        self.settings = settings or ActSettings(audit_ack_s=PATIENCE_S, environments=BOUND)
        self.journal: MemoryJournal = MemoryJournal()
        self.process, self.policy = Process(), Policy()
        self.clock = ManualClock(T0)
        self.topic: list[tuple[str, str, bytes, tuple[tuple[str, bytes], ...], str]] = []
        self.graph: list[GraphWrite] = []
        self.broker_away = False
        self.autonomy = Autonomy.ACT
        self.last_changed: dict[str, RunEntry] = {}
        """Runs as the journal had them when the executor last said that it has something new."""
        self.executor = self.born()

    def born(self) -> Told:
        switches.begin(self.journal, control(acting=True))
        self.executor = Told(
            ExecutorWiring(
                journal=self.journal,
                actuators=(self.process,),
                policy=self.policy,
                clock=self.clock,
                playbooks=self.playbooks,
                settings=self.settings,
                publish=self.publish,
                graph=self.graph.append,
                autonomy=self.autonomy,
                caught_up=self.caught_up,
                changed=self.changed,
            )
        )
        return self.executor

    def changed(self, environment: str) -> None:
        self.last_changed |= {r.run: r for r in self.journal.history(environment)}

    async def caught_up(self) -> None:
        """Every switch is known: tests tell the executor of each."""

    async def publish(
        self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]], route: str
    ) -> None:
        await asyncio.sleep(0)
        if self.broker_away:
            raise BrokerUnavailable("no broker")
        self.topic.append((topic, key, value, tuple(headers), route))

    def on(self, topic: str) -> list[bytes]:
        return [value for name, _, value, _, _ in self.topic if name == topic]

    @property
    def actions(self) -> list[ActionRecord]:
        return [decode(ActionRecord, body) for body in self.on("autonomous.actions")]

    @property
    def story(self) -> list[str]:
        return [r.type.removeprefix("io.homeostat.") for r in self.actions]

    def state(self, decision: str = "d1") -> RunState:
        return next(e.state for e in self.journal.entries.values() if e.decision == decision)

    async def run_to(self, seconds: float, *, error: float | None = MENDED, traffic: float = 50.0) -> None:
        """Let time pass second by second until `seconds` after T0, with an evidence frame per second. The target fails until it is
        acted on, and then no more, unless told otherwise."""
        while self.clock.now_ns() < T0 + int(seconds * SECOND):
            window = self.clock.now_ns()
            self.clock.advance_to(window + SECOND)
            if error is not None:
                share = error if error != MENDED else 0.0 if self.process.requests else 0.6
                await self.executor.on_evidence(frame(window, {"cart": (traffic, share)}))
            self.executor.wake()
            await self.executor.idle()

    async def suffer(self) -> None:
        """Hear how the target was before T0: well, and failing for the last five seconds."""
        for second in range(-30, 0):
            await self.executor.on_evidence(frame(T0 + second * SECOND, {"cart": (50.0, 0.6 if second >= -5 else 0.0)}))

    async def done(self) -> None:
        """Stop, so that everything is published."""
        await self.executor.stop()


def decision(
    playbook: str = "restart-service",
    *,
    name: str = "d1",
    verdict: DecisionVerdict = DecisionVerdict.ACT,
    target: str = "cart",
    now_ns: int = T0,
    autonomy: Autonomy = Autonomy.ACT,
) -> Decision:
    option = Option(playbook=playbook, playbook_version="1", target=target, score=0.9, tier=1)
    return Decision(
        id=name,
        incident="i1",
        environment="test",
        time_ns=now_ns,
        verdict=verdict,
        autonomy=autonomy,
        cause=CauseKind.HANG,
        cause_service=target,
        cause_probability=0.9,
        onset_ns=now_ns - 5 * SECOND,
        chosen=option,
        options=(option,),
        world_hash="w",
        text="cart hangs",
    )


def approval(*, approve: bool = True, decision: str = "d1", now_ns: int = T0) -> Approval:
    return Approval(decision=decision, environment="test", approve=approve, by="ann", time_ns=now_ns)


def control(*, acting: bool, now_ns: int = T0, scope: str = "*", autonomy: Autonomy = Autonomy.ACT) -> Control:
    return Control(scope=scope, acting=acting, autonomy=autonomy, by="ann", time_ns=now_ns)


def frame(
    window_ns: int,
    rows: Mapping[str, tuple[float, float]],
    *,
    ill: Sequence[str] = (),
    environment: str = "test",
) -> EvidenceFrame:
    """Request rate and error rate per service; expected 0..0.05 errors and 30..70 requests."""
    names = tuple(rows)
    values = np.array([rows[n] for n in names], dtype=np.float64)
    shape = values.shape
    return EvidenceFrame(
        environment=environment,
        signal="spans",
        partition=0,
        window_ns=window_ns,
        width_ns=SECOND,
        services=names,
        peers=(),
        versions=("",) * len(names),
        attributes=('{"k8s.deployment.name":"cart"}',) * len(names),
        features=("request_rate", "error_rate"),
        values=values,
        counts=np.where(np.isfinite(values[:, 0]), values[:, 0], 0).astype(np.int64),
        score=np.where(values > 0.05, 6.0, 0.0),
        low=np.tile(np.array([30.0, 0.0]), (shape[0], 1)),
        high=np.tile(np.array([70.0, 0.05]), (shape[0], 1)),
        p_value=np.ones(shape[0]),
        state=tuple(ServiceState.ANOMALOUS if n in ill else ServiceState.HEALTHY for n in names),
        notes=(),
    )
