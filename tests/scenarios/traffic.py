"""A shop in virtual time whose traffic changes as traffic does, as OTLP JSON, and the whole pipeline in memory that it goes through.

A plan says what each route of the entrance does: how often it is asked for, how long it takes by itself, whom it calls with
which probability. `changed` is the plan from the onset on. Services can be broken, too, so that the same watch is seen to find those.
"""

from __future__ import annotations

import copy
import json
import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from contracts.events import Anomaly, Decision, Incident, decode, encode
from contracts.ports import Record, TargetState
from contracts.settings import Settings
from contracts.topics import ANOMALIES, DEADLETTER, DECISIONS, INCIDENTS, OTLP_SPANS, TARGETS, TOPICS
from contracts.units import MILLISECOND, SECOND
from contracts.verdicts import DecisionVerdict, IncidentPhase
from homeostat.wiring import stage_specs
from playbooks.language import library
from streams.in_memory import MemoryPipeline
from tests.acting_half import ActingHalf

S, MS = SECOND, MILLISECOND
T0 = 1_780_000_000 * S
ONSET_S, END_S = 60, 85
SERVER, CLIENT = 2, 3
STEP_NS = 500 * MS


@dataclass(frozen=True)
class Route:
    """Something the entrance is asked for: requests per second, its own milliseconds, callees with calls per request, and the share of
    requests that fail by themselves."""

    name: str
    rate: float
    own_ms: float
    calls: Mapping[str, float] = field(default_factory=dict)
    fails: float = 0.0


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a service: it hangs, refuses, fails a share of its requests or takes so many times as long, for such a share of
    them."""

    hangs: bool = False
    refuses: bool = False
    fails: float = 0.0
    slower: float = 1.0
    often: float = 1.0


@dataclass(frozen=True)
class Session:
    """A long-lived exchange that is cut at a time, with what its span says of itself."""

    service: str
    name: str
    began_s: float
    ended_s: float
    attributes: Mapping[str, Any]
    error: bool = False
    caller: str = ""
    """Whose client span tells of it, too."""


INSIDE: Mapping[str, Route] = {
    "checkout": Route("POST /checkout", 0, 12, {"payment": 1.0}),
    "payment": Route("POST /pay", 0, 10),
    "catalog": Route("GET /items", 0, 8),
    "reco": Route("GET /reco", 0, 9),
    "reco-b": Route("GET /reco", 0, 9),
}
USUAL = (Route("GET /", 8, 4, {"catalog": 1.0, "reco": 1.0}), Route("POST /buy", 6, 4, {"checkout": 1.0}))


@dataclass(frozen=True)
class Plan:
    """A minute as usual, then something else."""

    usual: Sequence[Route] = USUAL
    changed: Sequence[Route] | None = None
    trouble: Mapping[str, Trouble] = field(default_factory=dict)
    sessions: Sequence[Session] = ()
    timeout_s: float = 2.0
    fallback: bool = False
    """Whether the entrance answers well although a call failed."""
    names_callees: bool = False
    client_spans: bool = True
    """Whether callers tell of their calls; else a callee's span is the child of its caller's request."""
    always_ill: bool = False
    """Whether the trouble is there from the beginning."""


class Shop:
    """Makes the spans of a plan, each with the time at which it ends."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self._plan, self._rng = plan, random.Random(seed)
        self.spans: list[tuple[int, str, dict[str, Any]]] = []

    def spans_by_end(self) -> list[tuple[int, str, dict[str, Any]]]:
        """All spans (end, service, span), oldest first."""
        for second in range(END_S):
            routes = self._plan.changed if second >= ONSET_S and self._plan.changed is not None else self._plan.usual
            for route in routes:
                for _ in range(self._poisson(route.rate)):
                    at = T0 + second * S + self._rng.randrange(S)
                    self._serve("gateway", route, at, self._id(32), "", self._plan.always_ill or at >= T0 + ONSET_S * S)
        for session in self._plan.sessions:
            begin, end = (T0 + int(t * S) for t in (session.began_s, session.ended_s))
            trace, call = self._id(32), self._id(16) if session.caller else ""
            if call:
                told = (session.name, CLIENT, (trace, call, ""), begin, end, session.error, session.attributes)
                self._span(session.caller, *told)
            self._span(
                session.service,
                session.name,
                SERVER,
                (trace, self._id(16), call),
                begin,
                end,
                session.error,
                session.attributes,
            )
        return sorted(self.spans, key=lambda s: s[0])

    def _serve(
        self, service: str, route: Route, at: int, trace: str, parent: str, ill: bool
    ) -> tuple[int, bool] | None:
        """One request from `at` on: when it ends and whether it failed; None if it never does."""
        trouble = self._plan.trouble.get(service, Trouble()) if ill else Trouble()
        if trouble.hangs or trouble.refuses:
            return None
        slower = trouble.slower if trouble.often >= 1.0 or self._rng.random() < trouble.often else 1.0
        me, own = self._id(16), int(route.own_ms * MS * self._rng.lognormvariate(0, 0.25) * slower)
        now, failed = at + own // 2, self._rng.random() < max(trouble.fails, route.fails)
        for callee, times in route.calls.items():
            for _ in range(int(times) + (self._rng.random() < times % 1)):
                now, bad = self._call(service, callee, now, trace, me, ill)
                failed |= bad and not self._plan.fallback
        now += own // 2
        self._span(
            service,
            route.name,
            SERVER,
            (trace, me, parent),
            at,
            now,
            failed,
            {"http.response.status_code": 500 if failed else 200},
        )
        return now, failed

    def _call(self, caller: str, callee: str, at: int, trace: str, parent: str, ill: bool) -> tuple[int, bool]:
        me = self._id(16) if self._plan.client_spans else parent
        answer = self._serve(callee, INSIDE[callee], at + MS, trace, me, ill)
        if answer is None:
            hangs = self._plan.trouble[callee].hangs
            answer = at + (int(self._plan.timeout_s * S) if hangs else 2 * MS), True
        end, failed = answer[0] + MS, answer[1]
        more = {"peer.service": callee} if self._plan.names_callees else {}
        if self._plan.client_spans:
            self._span(caller, "call", CLIENT, (trace, me, parent), at, end, failed, more)
        return end, failed

    def _span(self, service, name, kind, ids, start, end, failed, attributes) -> None:
        trace, me, parent = ids
        span: dict[str, Any] = {
            "traceId": trace, "spanId": me, "name": name, "kind": kind, "startTimeUnixNano": str(start), "endTimeUnixNano": str(end),
            "attributes": [{"key": k, "value": value(v)} for k, v in attributes.items()],
        }  # fmt: skip
        if parent:
            span["parentSpanId"] = parent
        if failed:
            span["status"] = {"code": 2}
        self.spans.append((end, service, span))

    def _id(self, digits: int) -> str:
        return f"{self._rng.getrandbits(4 * digits) | 1:0{digits}x}"

    def _poisson(self, mean: float) -> int:
        count, left = 0, self._rng.expovariate(1.0)
        while left < mean:
            count, left = count + 1, left + self._rng.expovariate(1.0)
        return count


def value(plain: Any) -> dict[str, Any]:
    """An attribute's value as OTLP JSON writes it."""
    if isinstance(plain, list):
        return {"arrayValue": {"values": [value(v) for v in plain]}}
    return {"intValue": str(plain)} if isinstance(plain, int) else {"stringValue": plain}


KNOWN = ("gateway", *INSIDE, "a", "b", "c", "d", "e")
"""Every service is known to an actuator, with two instances that are ready; nothing has been done yet."""


@dataclass
class Found:
    """What came of it, in order."""

    incidents: list[Incident] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    @property
    def touched(self) -> set[str]:
        """Targets on which something would have been done without a person."""
        return {d.chosen.target for d in self.decisions if d.verdict is DecisionVerdict.ACT}

    @property
    def offered(self) -> set[str]:
        """Targets for which a person was asked to agree to a remedy."""
        return {d.chosen.target for d in self.decisions if d.verdict is DecisionVerdict.ASK and d.chosen.target}

    @property
    def blamed(self) -> set[str]:
        """Leading causes of settled diagnoses."""
        return {
            i.candidates[0].service
            for i in self.incidents
            if i.settled and i.phase is not IncidentPhase.RESOLVED and i.candidates[0].probability >= 0.5
        }

    def told(self) -> str:
        """For a person who reads why a test failed."""
        lines = [f"{(i.time_ns - T0) / S:6.1f} {i.phase} {i.text}" for i in self.incidents]
        return "\n".join(lines + [f"{(d.time_ns - T0) / S:6.1f} {d.verdict} {d.text}" for d in self.decisions])


def messages(spans: Sequence[tuple[int, str, dict[str, Any]]], until_ns: int) -> Iterator[tuple[int, bytes]]:
    """At the end of each step one message of each of two Collectors, between which the services are shared out step by step; nothing from
    `until_ns` on."""
    steps: dict[int, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for end, service, span in spans:
        if end < until_ns:
            steps[end // STEP_NS + 1][service].append(span)
    for step, services in sorted(steps.items()):
        parts = [_of_service(service, some) for service, some in services.items()]
        for some_parts in (parts[::2], parts[1::2]):
            if some_parts:
                yield step * STEP_NS, json.dumps({"resourceSpans": some_parts}).encode()


def _of_service(service: str, spans: list[dict[str, Any]]) -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resource": resource, "scopeSpans": [{"spans": spans}]}


def watch(plan: Plan, seed: int = 1, settings: Settings | None = None) -> Found:
    """What the pipeline makes of a plan, up to the end of its telemetry."""
    gone = frozenset(name for name, trouble in plan.trouble.items() if trouble.refuses)
    return through(messages(Shop(plan, seed).spans_by_end(), T0 + END_S * S), settings, gone=gone)


def through(
    telemetry: Iterable[tuple[int, bytes] | tuple[int, bytes, str]],
    settings: Settings | None = None,
    topic: str = OTLP_SPANS,
    told: Callable[[Record], None] = lambda _: None,
    gone: frozenset[str] = frozenset(),
) -> Found:
    """What the pipeline makes of messages on a topic (or on that which stands beside one), up to the last of them; `told` hears each
    message. Nothing is acted on, and no stage fails. Of services that are `gone` since the onset their platform has no instance ready."""
    sent = tuple((at, payload, *(own or (topic,))) for at, payload, *own in telemetry)
    usual = bisect_right(sent, T0 + ONSET_S * S, key=lambda m: m[0]) if sent and sent[0][0] >= T0 else 0
    run = copy.deepcopy(_begun(sent[:usual], (settings or Settings()).model_dump_json()))
    run.lose(gone)
    run.take(sent[usual:])
    for record in run.heard:
        told(record)
        assert record.topic != DEADLETTER, record.value[:2000]
    return run.found


@lru_cache(maxsize=12)
def _begun(usual: tuple[tuple[int, bytes, str], ...], settings: str) -> PipelineRun:
    """A run up to the onset: many plans begin alike, and what they have in common is lived through once (in one process)."""
    run = PipelineRun(Settings.model_validate_json(settings))
    run.take(usual)
    return run


class PipelineRun:
    """The whole pipeline in memory, and what has been heard from it. A copy goes on by itself."""

    def __init__(self, settings: Settings, since_ns: int = 0, step_ns: int = STEP_NS) -> None:
        """`since_ns`: when it begins (0: with the first message); `step_ns`: how much time passes at once."""
        self._step_ns = step_ns
        specs = stage_specs(settings, dict.fromkeys(TOPICS, 2), library())
        self._half = ActingHalf({s: TargetState(2, 2, "v2", "v1") for s in KNOWN}, "default")
        self._pipeline, self._now_ns, self._taken = MemoryPipeline(specs, 2, self._hear), since_ns, 0
        self.found, self.heard = Found(), list[Record]()

    def __deepcopy__(self, memo: dict[int, Any]) -> PipelineRun:
        """What was heard is frozen: copies share it."""
        memo.update({id(message): message for message in self.heard})
        memo |= {id(e): e for e in (*self.found.incidents, *self.found.anomalies, *self.found.decisions)}
        twin = memo[id(self)] = object.__new__(PipelineRun)
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def take(self, telemetry: Iterable[tuple[int, bytes, str]]) -> None:
        """Let time pass up to each message, and take it in. Nothing is acted on."""
        for at, payload, topic in telemetry:
            self._now_ns = self._now_ns or at
            while self._now_ns < at:
                self._now_ns = min(self._now_ns + self._step_ns, at)
                report = encode(self._half.report(self._now_ns))
                self._pipeline.feed(TARGETS, report, self._now_ns, key=self._half.environment.encode())
                self._pipeline.tick(self._now_ns)
            self._pipeline.feed(topic, payload, self._now_ns, partition=self._taken % 2)
            self._taken += 1

    def lose(self, gone: frozenset[str]) -> None:
        """From now on these services have no instance that is ready."""
        self._half.targets |= {name: replace(self._half.targets[name], ready=0) for name in gone}

    def _hear(self, record: Record) -> None:
        self.heard.append(record)
        if record.topic == INCIDENTS:
            self.found.incidents.append(decode(Incident, record.value))
        elif record.topic == ANOMALIES:
            self.found.anomalies.append(decode(Anomaly, record.value))
        elif record.topic == DECISIONS:
            self.found.decisions.append(decode(Decision, record.value))
