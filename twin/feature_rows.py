"""Telemetry at window level: a second of a system as feature frames, as late and as complete as each service's habit has it.

What chance does is kept: requests are Poisson, failures binomial, percentiles those of so many drawn requests.
"""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator

from contracts import features as f
from contracts.frames import FeatureFrame, Presence
from contracts.frames.decoded import F64, I8, I64
from contracts.units import SECOND
from twin.blueprint import Role, SystemPlan
from twin.fleet import Fleet
from twin.flow import SystemSecond
from twin.instance_rows import InstanceRows
from twin.knobs import Knob
from twin.laws import drawn_quantiles
from twin.node_rows import NodeRows
from twin.requests import HUNG_S
from twin.system import SimulatedSystem

REPEAT_S: Final = 60
"""Attributes are said again this often."""
_SPANS, _EDGES, _METRICS, _LOGS = (
    f.BY_SIGNAL[s] for s in (f.Signal.SPANS, f.Signal.EDGES, f.Signal.METRICS, f.Signal.LOGS)
)
LEAST_SEEN: Final = 1e-3
"""Requests per second below which a service is taken to answer none."""
MOST_LATE_S: Final = 60
"""Telemetry is at most so late."""
_LEARN_S: Final = 20
"""Seconds over which the usual times of routes are measured."""
MESSAGES: Final = (
    "upstream request failed: <*>",
    "deadline exceeded after <*>",
    "unexpected error: <*>",
    "retrying <*>",
)


@dataclass(slots=True)
class _Observed:
    """What was measured of one window, by service or call; rows go out as their delays pass."""

    second: int
    spans: F64
    span_counts: I64
    span_presence: I8
    span_aside: F64
    edges: F64
    edge_counts: I64
    edge_aside: F64
    metrics: F64
    metric_counts: I64
    logs: F64
    log_counts: I64
    notes: list[str]
    mute: np.ndarray
    versions: list[str]
    attributes: list[str]
    """What spans say of services' attributes: in full now and then, and while instances are told of."""


class FeatureRows:
    """Frames of one environment from the seconds of a system. `start_ns` is the time of its second 0."""

    def __init__(self, system: SimulatedSystem, r: Generator, start_ns: int) -> None:
        self.system, self._r, self._start_ns = system, r, start_ns
        self._r_blamed = r.spawn(1)[0]
        plan: SystemPlan = system.plan
        self._names = [s.name for s in plan.services]
        habits = [s.habit for s in plan.services]
        self._sampled = np.array([h.sampled for h in habits])
        self._lost = np.array([h.lost for h in habits])
        self._every = np.array([h.metrics_every_s if s.own else 0 for h, s in zip(habits, plan.services, strict=True)])
        self._phase = r.integers(0, 60, len(habits))
        self._limits = np.array([h.limits_known for h in habits])
        self._asked = np.array([h.request_metrics and s.tells for h, s in zip(habits, plan.services, strict=True)])
        self._in_flight = np.array(
            [h.in_flight and s.tells and s.role is not Role.WORKER for h, s in zip(habits, plan.services, strict=True)]
        )
        self._stuck = np.zeros(len(habits))
        """Requests that services hold and do not answer."""
        self._per_request = r.uniform(0.3, 3.0, len(habits))
        self._gigabytes = r.uniform(0.2, 4.0, len(habits)) * 1e9
        tells = np.array([s.tells for s in plan.services])
        self._span_rows = _by_delay(np.flatnonzero(tells), [h.delay_s for h in habits])
        self._log_rows = _by_delay(
            np.flatnonzero(tells & np.array([h.logs for h in habits])), [h.logs_delay_s for h in habits]
        )
        self._metric_rows = _by_delay(np.flatnonzero(self._every > 0), [h.metrics_delay_s for h in habits])
        calls = plan.calls
        told = np.array([i for i, c in enumerate(calls) if tells[c.caller]], np.int64)
        later = [max(habits[c.caller].delay_s, habits[c.callee].delay_s if tells[c.callee] else 0.0) for c in calls]
        self._edge_rows = _by_delay(told, later)
        self._joined = np.array([bool(tells[c.callee]) and not habits[c.caller].names_callees for c in calls], np.bool_)
        self._instances = InstanceRows(plan, system.fleet, r.spawn(1)[0], self._sampled)
        self._nodes = NodeRows(plan, system.fleet, start_ns)
        self._attributes = [_attributes(i, plan) for i in range(len(habits))]
        self._recent: deque[_Observed] = deque(maxlen=75)
        self._usual: list[F64] = []
        self._level, self._pace = np.zeros(len(habits)), np.ones(len(habits))
        self._since_reading = np.zeros((len(habits), 2))
        self._restarts = system.fleet.restarts.copy()
        self._failed_before = np.zeros(len(habits), np.bool_)

    def take(self, second: SystemSecond) -> list[FeatureFrame]:
        """Measure the second that has just passed; the frames that are due by now, of this and of earlier ones."""
        number = int(self.system.now_s) - 1
        self._recent.append(self._observe(number, second))
        by_second = {o.second: o for o in self._recent}
        frames = []
        for delay, rows in self._span_rows:
            frames += self._send(by_second.get(number + 1 - delay), f.Signal.SPANS, rows)
        for delay, rows in self._edge_rows:
            frames += self._send(by_second.get(number + 1 - delay), f.Signal.EDGES, rows)
        for delay, rows in self._metric_rows:
            frames += self._send(by_second.get(number + 1 - delay), f.Signal.METRICS, rows)
        for delay, rows in self._log_rows:
            frames += self._send(by_second.get(number + 1 - delay), f.Signal.LOGS, rows)
        return frames

    # --- measuring

    def _observe(self, number: int, x: SystemSecond) -> _Observed:
        r, flow = self._r, self.system.flow
        mute = self.system.panel[Knob.MUTE] > 0.5
        sampled = self._sampled * np.where(r.random(len(mute)) < self._lost * 4, r.random(len(mute)), 1.0)
        counts = r.poisson(np.minimum(x.answered * sampled, 1e6))
        errors = r.binomial(counts, x.failing)
        spans = np.column_stack(
            [counts, np.where(counts > 0, errors / np.maximum(counts, 1), np.nan), drawn_quantiles(r, x.law, counts)]
        )
        presence = np.where(counts > 0, Presence.OBSERVED, Presence.QUIET).astype(np.int8)
        spans[mute], presence[mute] = np.nan, Presence.MISSING
        asked = r.poisson(
            np.minimum(x.call_rate * sampled[flow.caller] * _seen(counts, x.answered * sampled)[flow.caller], 1e6)
        )
        heard = np.where(self._joined, r.binomial(asked, 1.0 - x.call_unanswered), asked)
        among = np.where(
            self._joined, 1.0 - (1.0 - x.call_failing) / np.maximum(1.0 - x.call_unanswered, 1e-9), x.call_failing
        )
        failed = r.binomial(heard, np.clip(among, 0.0, 1.0))
        blamed = self._r_blamed.binomial(errors[flow.caller], np.clip(x.call_blamed, 0.0, 1.0))
        waited = np.array([not c.queued for c in self.system.plan.calls], np.bool_)
        late = np.where(waited, drawn_quantiles(r, x.call_law, heard)[:, 1] if len(heard) else np.empty(0), np.nan)
        gap = np.where((heard > 0) & waited & self._joined, x.call_gap * r.lognormal(0.0, 0.05, len(heard)), np.nan)
        edges = np.column_stack([heard, np.where(heard > 0, failed / np.maximum(heard, 1), np.nan), late, gap])
        metrics, metric_counts = self._measure(number, x)
        self._nodes.look()
        routes = self._routes(number, x, counts)
        logs, log_counts, notes = self._write(x, counts, mute)
        return _Observed(
            second=number,
            spans=spans,
            span_counts=np.where(mute, 0, counts),
            span_presence=presence,
            span_aside=routes,
            edges=edges,
            edge_counts=heard,
            edge_aside=np.column_stack([asked, np.zeros((len(asked), 2)), blamed]).astype(np.float64),
            metrics=metrics,
            metric_counts=metric_counts,
            logs=logs,
            log_counts=log_counts,
            notes=notes,
            mute=mute,
            versions=[f"v{v}" for v in self.system.fleet.release.tolist()],
            attributes=[self._said(number, i, text) for i, text in enumerate(self._attributes)],
        )

    def _said(self, number: int, service: int, text: str) -> str:
        told = self._instances.told(number, service, text)
        if not told and number % REPEAT_S and service not in self._nodes.moved:
            return ""
        return self._nodes.said(number, service, told or text)

    def _routes(self, number: int, x: SystemSecond, counts: I64) -> F64:
        """Requests of known routes, their usual logarithms, and by how many deviations they took longer, summed."""
        logs = np.log(np.maximum(x.raw, 1e-9))
        mean = logs.mean(axis=1)
        if len(self._usual) < _LEARN_S:
            self._usual.append(np.stack([mean, logs.std(axis=1)]))
            self._level, self._pace = np.mean(self._usual, axis=0)
        work = np.log(self.system.panel[Knob.WORK])
        level = self._level + work
        known = counts if number >= _LEARN_S else np.zeros_like(counts)
        heard = counts > 0 if number >= _LEARN_S else np.zeros(len(counts), np.bool_)
        self._instances.observe(number, x, (level, self._pace), heard)
        pace = known * (mean - level) / np.maximum(self._pace, 0.05)
        pace += self._r.normal(0.0, 1.0, len(known)) * np.sqrt(known)
        return np.column_stack([known, known * level, pace])

    def _measure(self, number: int, x: SystemSecond) -> tuple[F64, I64]:
        r, fleet, flow = self._r, self.system.fleet, self.system.flow
        services = len(self._names)
        serving = np.isfinite(x.cpu)
        alive = np.maximum(np.bincount(fleet.service[serving], minlength=services), 1)

        def mean(values: F64) -> F64:
            return np.bincount(fleet.service[serving], weights=values[serving], minlength=services) / alive

        cpu = np.clip(mean(x.cpu) + 0.02 + r.normal(0.0, 0.01, services), 0.0, 1.0)
        memory = np.clip(mean(fleet.memory) + r.normal(0.0, 0.004, services), 0.0, 1.0)
        held = np.bincount(fleet.service, weights=x.held, minlength=services)
        n = r.poisson(np.minimum(x.answered, 1e6))
        self._since_reading += np.column_stack([n, r.binomial(n, x.failing)])
        restarts = np.bincount(fleet.service, weights=(fleet.restarts - self._restarts), minlength=services)
        self._restarts = fleet.restarts.copy()
        columns = dict.fromkeys(_METRICS, np.full(services, np.nan))
        columns[f.CPU], columns[f.MEMORY] = _where(self._limits, cpu), _where(self._limits, memory)
        columns[f.CPU_CORES] = _where(~self._limits, cpu * mean(x.cores) * alive)
        columns[f.MEMORY_BYTES] = _where(~self._limits, memory * self._gigabytes * alive)
        columns[f.RESTARTS] = restarts
        columns[f.POOL_USED] = np.round(held)
        columns[f.IN_FLIGHT] = _where(self._in_flight, np.round(self._held_by(x) / alive))
        columns[f.QUEUE_LAG] = _where(flow.worker, np.round(x.waiting))
        every = np.maximum(self._every, 1)
        due = (self._every > 0) & ((number + self._phase) % every == 0)
        asked, failed = self._since_reading.T
        columns[f.METRIC_REQUEST_RATE] = _where(self._asked, asked / every)
        columns[f.METRIC_ERROR_RATE] = _where(self._asked & (asked > 0), failed / np.maximum(asked, 1))
        late = drawn_quantiles(r, x.law, np.where(due & self._asked, asked, 0).astype(np.int64))
        for j, name in enumerate((f.METRIC_LATENCY_P50, f.METRIC_LATENCY_P95, f.METRIC_LATENCY_P99)):
            columns[name] = late[:, j]
        values = np.column_stack([columns[name] for name in _METRICS])
        values[~due | (self.system.panel[Knob.MUTE] > 0.5)] = np.nan
        counts = np.where(due & self._asked, asked, 0).astype(np.int64)
        self._since_reading[due] = 0.0
        return values, counts

    def _held_by(self, x: SystemSecond) -> F64:
        """Requests in flight at the end of a second, by service: as many as come in the time that one takes (Little's law), and those that
        hang until whoever asked is gone. Who hangs no more holds none of them: it was begun anew, or let them all go."""
        self._stuck = np.where(x.hung > 0, self._stuck * (1.0 - 1.0 / HUNG_S) + x.arriving * x.hung, 0.0)
        held: F64 = x.answered * x.law.mean(axis=1) + self._stuck
        return held

    def _write(self, x: SystemSecond, counts: I64, mute: np.ndarray) -> tuple[F64, I64, list[str]]:
        r = self._r
        records = r.poisson(np.minimum(x.answered * self._per_request, 1e6))
        failing = np.minimum(x.failing / np.maximum(self._per_request, 0.3), 1.0)
        errors = r.binomial(records, failing)
        bad = (x.failing > 0.005) & (x.failing > 10 * self.system.flow.base_fail)
        new = np.where(bad & ~self._failed_before & (r.random(len(bad)) < 0.7), 1, 0)
        young = self.system.fleet
        new += np.where(_just_started(young, self.system.now_s), r.integers(0, 2, len(bad)), 0)
        self._failed_before = bad
        new[records == 0] = 0
        values = np.column_stack([records, np.where(records > 0, errors / np.maximum(records, 1), np.nan), new])
        notes = ["\n".join(MESSAGES[: int(k)]) if k else "" for k in new.tolist()]
        values[mute] = np.nan
        del counts
        return values, np.where(mute, 0, records), notes

    # --- sending

    def _send(self, seen: _Observed | None, signal: f.Signal, rows: I64) -> list[FeatureFrame]:
        if seen is None:
            return []
        calls = self.system.plan.calls
        peers: tuple[str, ...] = ()
        notes: tuple[str, ...] = ()
        presence, aside = np.empty(0, np.int8), np.empty(0)
        match signal:
            case f.Signal.SPANS:
                values, counts, presence, aside = (
                    seen.spans,
                    seen.span_counts,
                    seen.span_presence,
                    seen.span_aside[rows],
                )
                presence = presence[rows]
            case f.Signal.EDGES:
                rows = rows[~seen.mute[self.system.flow.caller[rows]]]
                values, counts, aside = seen.edges, seen.edge_counts, seen.edge_aside[rows]
                presence = np.where(counts[rows] > 0, Presence.OBSERVED, Presence.QUIET).astype(np.int8)
            case f.Signal.METRICS:
                values, counts = seen.metrics, seen.metric_counts
                rows = rows[np.isfinite(values[rows]).any(axis=1)]
                presence = np.zeros(len(rows), np.int8)
            case _:
                values, counts = seen.logs, seen.log_counts
                presence = np.where(counts[rows] > 0, Presence.OBSERVED, Presence.QUIET).astype(np.int8)
                presence[seen.mute[rows]] = Presence.MISSING
                notes = tuple(seen.notes[i] for i in rows.tolist())
        if not len(rows):
            return []
        owners = self.system.flow.caller[rows] if signal is f.Signal.EDGES else rows
        if signal is f.Signal.EDGES:
            peers = tuple(self._names[calls[i].callee] for i in rows.tolist())
        said = ["" for _ in self._names]
        if signal is f.Signal.SPANS:
            said = seen.attributes
        elif seen.second % REPEAT_S == 0 and signal is not f.Signal.EDGES:
            said = self._attributes
        return [
            FeatureFrame(
                environment=self.system.plan.environment,
                signal=signal.value,
                partition=0,
                window_ns=self._start_ns + seen.second * SECOND,
                width_ns=SECOND,
                revision=0,
                services=tuple(self._names[i] for i in owners.tolist()),
                peers=peers,
                versions=tuple(self._version(seen, i) for i in owners.tolist())
                if signal is not f.Signal.EDGES
                else ("",) * len(rows),
                attributes=tuple(said[i] for i in owners.tolist()),
                features=f.BY_SIGNAL[signal],
                values=values[rows],
                counts=counts[rows].astype(np.int64),
                notes=notes,
                presence=presence,
                aside=aside,
            )
        ]

    def _version(self, seen: _Observed, service: int) -> str:
        return seen.versions[service] if self.system.plan.services[service].habit.versioned else ""


def whole_delay(delay_s: float) -> int:
    """Seconds from the beginning of a window to when its rows go out: at least its own, at most a minute."""
    return min(max(math.ceil(delay_s), 1), MOST_LATE_S)


def _by_delay(rows: I64, delays: list[float]) -> list[tuple[int, I64]]:
    """Rows by the whole seconds after which they go out."""
    late = np.array([whole_delay(d) for d in delays], np.int64)
    return [(int(d), rows[late[rows] == d]) for d in np.unique(late[rows]).tolist()]


def _seen(counts: I64, expected: F64) -> F64:
    """Of each service, how many times as many requests as expected are seen in a second: calls are in the same traces as the requests that
    make them, so there are as many times as many of them. 1 where none is expected: a service that answers nothing may still call."""
    return np.where(expected > LEAST_SEEN, counts / np.maximum(expected, LEAST_SEEN), 1.0)


def _where(mask: np.ndarray, values: F64) -> F64:
    return np.where(mask, values, np.nan)


def _just_started(fleet: Fleet, now_s: float) -> np.ndarray:
    started = (now_s - fleet.ready_at >= 0) & (now_s - fleet.ready_at < 1.5)
    return np.bincount(fleet.service, weights=started, minlength=len(fleet.first)) > 0


def _attributes(service: int, plan: SystemPlan) -> str:
    found = plan.services[service]
    namespace, _, name = found.name.rpartition("/")
    said = {"service.name": name, "telemetry.sdk.language": found.habit.language}
    return json.dumps({**said, "service.namespace": namespace} if namespace else said, separators=(",", ":"))
