"""Telemetry at request level: the spans, metrics and records of each simulated request, as OTLP bytes, in the habits of who sends them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from typing import Final

from numpy.random import Generator

from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS
from contracts.units import SECOND
from twin import otlp_bytes as wire
from twin.arrival import Arrival
from twin.blueprint import CallPlan, Role, ServicePlan
from twin.flow import SystemSecond
from twin.habits import Habit
from twin.instance_rows import instance_name, node_name, zone_name
from twin.knobs import Knob
from twin.requests import CallOutcome, RequestSimulation, Visit
from twin.system import SimulatedSystem

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
INFO, ERROR = 9, 17
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_PACKED_BOUNDS: Final = wire.packed(BOUNDS)
LOGGED: Final = 0.15
"""Share of requests that log something although nothing is wrong."""
_VERBS: Final = ("GET", "POST", "PUT", "GET")
_NOTHING_HEARD: Final = {
    CallOutcome.REFUSED: "connection refused by {}",
    CallOutcome.GIVEN_UP: "deadline exceeded while calling {}",
}


class RequestLevel:
    """Messages of one system. `start_ns` is the time of its second 0."""

    name = "request"

    def __init__(self, system: SimulatedSystem, r: Generator, start_ns: int) -> None:
        self._system, self._r, self._start_ns = system, r, start_ns
        plan = system.plan
        kept = plan.services[plan.entries[0].service].habit.sampled
        self.requests = RequestSimulation(system, int(r.integers(2**31)), self, kept)
        self._tells = [s.tells for s in plan.services]
        self._shift = [int(s.habit.clock_s * SECOND) for s in plan.services]
        self._served_shapes = [
            [[_served_shape(s, k, failed=bad) for bad in (False, True)] for k in range(s.routes)] for s in plan.services
        ]
        self._called_shapes = [
            {o: _called_shape(plan.services[c.caller], plan.services[c.callee], c, o) for o in CallOutcome}
            for c in plan.calls
        ]
        self._spans: dict[int, list[bytes]] = defaultdict(list)
        self._records: dict[int, list[bytes]] = defaultdict(list)
        self._resources: dict[tuple[int, int], bytes] = {}
        self._due: dict[int, dict[str, list[bytes]]] = defaultdict(lambda: defaultdict(list))
        self._counts = [[0] * (len(BOUNDS) + 1) for _ in plan.services]
        self._failures = [[0] * (len(BOUNDS) + 1) for _ in plan.services]
        self._total_s = [[0.0, 0.0] for _ in plan.services]
        self._phase = [int(x) for x in r.integers(0, 60, len(plan.services))]
        self._texts = [wire.part(5, wire.any_value(f"handled request of {s.name}")) for s in plan.services]
        self._complaints: dict[tuple[int, CallOutcome | None], bytes] = {}
        self._gigabytes = [float(x) for x in r.uniform(0.2, 4.0, len(plan.services)) * 1e9]

    def late_s(self, habit: Habit) -> float:
        """Whole seconds, as batches go out."""
        return float(int(habit.delay_s))

    # --- what is heard of requests

    def served(self, visit: Visit, end_s: float, *, failed: bool) -> None:
        """A request was answered: its span, its count, perhaps a record."""
        service = visit.service
        took = end_s - visit.start_s
        which = bisect_right(BOUNDS, took)
        (self._failures if failed else self._counts)[service][which] += 1
        self._total_s[service][failed] += took
        if not self._tells[service]:
            return
        if visit.trace:
            shape = self._served_shapes[service][visit.route][failed]
            self._span(service, visit, (visit.me, visit.parent), shape, (visit.start_s, end_s))
        if failed or self._r_share() < LOGGED:
            self._log(visit, end_s, None if failed else CallOutcome.WELL)

    def called(self, visit: Visit, call: int, me: int, start_s: float, end_s: float, outcome: CallOutcome) -> None:
        """A call ended: its caller's span, and a record where nothing was heard of the callee."""
        if not self._tells[visit.service]:
            return
        if visit.trace:
            self._span(visit.service, visit, (me, visit.me), self._called_shapes[call][outcome], (start_s, end_s))
        if outcome in _NOTHING_HEARD:
            self._log(visit, end_s, outcome, call)

    def _span(
        self, service: int, visit: Visit, ids: tuple[int, int], shape: tuple[bytes, bytes], times: tuple[float, float]
    ) -> None:
        me, parent = ids
        zero = self._start_ns + self._shift[service]
        self._spans[visit.slot].append(
            wire.span(
                visit.trace.to_bytes(16, "big"),
                me.to_bytes(8, "big"),
                parent.to_bytes(8, "big") if parent else b"",
                shape,
                zero + int(times[0] * SECOND),
                zero + int(times[1] * SECOND),
            )
        )

    def _log(self, visit: Visit, at_s: float, outcome: CallOutcome | None, call: int = -1) -> None:
        plan = self._system.plan
        if not plan.services[visit.service].habit.logs:
            return
        if outcome is CallOutcome.WELL:
            severity, text = INFO, self._texts[visit.service]
        else:
            key = (call if call >= 0 else -1 - visit.service, outcome)
            if key not in self._complaints:
                callee = plan.services[plan.calls[call].callee].name if call >= 0 else ""
                words = (
                    _NOTHING_HEARD[outcome].format(callee) if outcome is not None else "request failed: internal error"
                )
                self._complaints[key] = wire.part(5, wire.any_value(words))
            severity, text = ERROR, self._complaints[key]
        time_ns = self._start_ns + self._shift[visit.service] + int(at_s * SECOND)
        self._records[visit.slot].append(wire.log_record(time_ns, severity, text))

    def _r_share(self) -> float:
        return self.requests.chance()

    # --- what is sent

    def messages(self, second: SystemSecond) -> list[Arrival]:
        """What arrives in the second that has just passed."""
        number = int(self._system.now_s) - 1
        self.requests.second(float(number))
        self._export(number, OTLP_SPANS, self._spans)
        self._export(number, OTLP_LOGS, self._records)
        self._measure(number, second)
        due = self._due.pop(number, {})
        return [Arrival(topic, "", b"".join(parts)) for topic, parts in due.items() if parts]

    def _export(self, number: int, topic: str, by_slot: dict[int, list[bytes]]) -> None:
        mute = self._system.panel[Knob.MUTE]
        services = self._system.plan.services
        for slot in sorted(by_slot):
            service = int(self._system.fleet.service[slot])
            habit, records = services[service].habit, by_slot[slot]
            if mute[service] > 0.5 or (habit.lost and self._r.random() < habit.lost):
                continue
            body = wire.group(self._resource(slot), "sim", records)
            late = int(habit.logs_delay_s if topic == OTLP_LOGS else habit.delay_s)
            again = 1 + bool(habit.duplicated and self._r.random() < habit.duplicated)
            self._due[number + late][topic] += [body] * again
        by_slot.clear()

    def _resource(self, slot: int) -> bytes:
        fleet = self._system.fleet
        key = slot, int(fleet.incarnation[slot])
        found = self._resources.get(key)
        if found is None:
            found = self._resources[key] = wire.resource(self._identity(slot))
        return found

    def _identity(self, slot: int) -> dict[str, wire.Value]:
        fleet, plan = self._system.fleet, self._system.plan
        service = plan.services[int(fleet.service[slot])]
        namespace, _, name = service.name.rpartition("/")
        said: dict[str, wire.Value] = {
            "service.name": name,
            "service.instance.id": instance_name(plan, fleet, slot),
            "telemetry.sdk.language": service.habit.language,
            "host.name": node_name(int(fleet.node[slot])),
        }
        if zone := zone_name(plan, fleet, int(fleet.node[slot])):
            said["cloud.availability_zone"] = zone
        if namespace:
            said["service.namespace"] = namespace
        if service.habit.versioned:
            said["service.version"] = f"v{fleet.version[slot]}"
        old = service.habit.old_conventions
        said["deployment.environment" if old else "deployment.environment.name"] = plan.environment
        return said

    # --- metrics

    def _measure(self, number: int, second: SystemSecond) -> None:
        system = self._system
        held, mute = self.requests.held(), system.panel[Knob.MUTE]
        waiting = self.requests.waiting()
        for i, service in enumerate(system.plan.services):
            habit = service.habit
            every = habit.metrics_every_s if service.tells else 0
            if not every or (number + self._phase[i]) % every or mute[i] > 0.5:
                continue
            now_ns = self._start_ns + self._shift[i] + (number + 1) * SECOND - 1
            for slot in system.fleet.running(i).tolist():
                cpu = float(second.cpu[slot])
                if math.isnan(cpu):  # it has not started yet
                    continue
                body = self._points(i, slot, now_ns, (cpu, float(second.cores[slot]), held[slot], waiting[slot]))
                self._due[number + int(habit.metrics_delay_s)][OTLP_METRICS].append(
                    wire.group(self._resource(slot), "sim", body)
                )
            if habit.request_metrics:
                first = int(system.fleet.running(i)[0]) if len(system.fleet.running(i)) else -1
                if first >= 0:
                    body = [self._histogram(i, now_ns)]
                    self._due[number + int(habit.metrics_delay_s)][OTLP_METRICS].append(
                        wire.group(self._resource(first), "sim", body)
                    )

    def _points(self, service: int, slot: int, now_ns: int, found: tuple[float, float, int, int]) -> list[bytes]:
        system, (cpu, cores, held, waiting) = self._system, found
        plan = system.plan.services[service]
        cpu = min(max(cpu + 0.02 + float(self._r.normal(0, 0.01)), 0.0), 1.0)
        memory = min(max(float(system.fleet.memory[slot]) + float(self._r.normal(0, 0.004)), 0.0), 1.0)

        def one(name: str, unit: str, value: float) -> bytes:
            return wire.gauge(name, unit, [wire.number_point(now_ns, value)])

        if plan.habit.limits_known:
            out = [
                one("k8s.container.cpu_limit_utilization", "1", cpu),
                one("k8s.container.memory_limit_utilization", "1", memory),
            ]
        else:
            out = [
                one("container.cpu.usage", "{cpu}", cpu * cores),
                one("container.memory.usage", "By", memory * self._gigabytes[service]),
            ]
        out.append(one("k8s.container.restart_count", "{restart}", float(system.fleet.restarts[slot])))
        if plan.role is Role.WORKER:
            values: dict[str, wire.Value] = {"messaging.destination.name": f"{plan.name}-queue"}
            out.append(
                wire.gauge(
                    "kafka.consumer.records_lag", "{record}", [wire.number_point(now_ns, float(waiting), 0, values)]
                )
            )
        else:
            out.append(one("db.client.connection.count", "{connection}", float(held)))
            if plan.habit.in_flight:
                out.append(one("http.server.active_requests", "{request}", float(held + waiting)))
        return out

    def _histogram(self, service: int, now_ns: int) -> bytes:
        start = self._start_ns
        points = []
        for failed, counts in ((False, self._counts[service]), (True, self._failures[service])):
            values: dict[str, wire.Value] = {
                "http.request.method": "GET",
                "http.response.status_code": 500 if failed else 200,
            }
            total = self._total_s[service][failed]
            points.append(wire.histogram_point(start, now_ns, counts, _PACKED_BOUNDS, total, values))
        return wire.histogram("http.server.request.duration", "s", points)


def _served_shape(service: ServicePlan, route: int, *, failed: bool) -> tuple[bytes, bytes]:
    habit, verb = service.habit, _VERBS[route % len(_VERBS)]
    short = service.name.rpartition("/")[2]
    path = f"/{short}/r{route}"
    if service.role is Role.WORKER:
        said: dict[str, wire.Value] = {
            "messaging.system": "kafka",
            "messaging.destination.name": f"{service.name}-queue",
        }
        return wire.span_shape(f"process {short}-queue", CONSUMER, said, failed=failed)
    code: wire.Value = ("503" if failed else "200") if habit.text_codes else 500 if failed else 200
    if habit.old_conventions or habit.text_codes:
        said = {"http.method": verb, "http.route": path, "http.target": path, "http.status_code": code}
        if habit.text_codes:
            said |= {"response_flags": "UF" if failed else "-", "component": "proxy"}
    else:
        said = {"http.request.method": verb, "http.route": path, "url.path": path, "http.response.status_code": code}
    return wire.span_shape(f"{verb} {path}", SERVER, said, failed=failed and not habit.text_codes)


def _called_shape(
    caller: ServicePlan, callee: ServicePlan, call: CallPlan, outcome: CallOutcome
) -> tuple[bytes, bytes]:
    habit, failed = caller.habit, outcome is not CallOutcome.WELL
    short = callee.name.rpartition("/")[2]
    old = habit.old_conventions or habit.text_codes
    if call.queued:
        said: dict[str, wire.Value] = {
            "messaging.system": "kafka",
            "messaging.destination.name": f"{callee.name}-queue",
        }
        return wire.span_shape(f"publish {short}-queue", PRODUCER, said, failed=failed)
    if callee.role in {Role.DATABASE, Role.CACHE}:
        system, _, name = callee.name.removeprefix("db:").partition("/")
        said = {("db.system" if old else "db.system.name"): system, ("db.name" if old else "db.namespace"): name}
        return wire.span_shape(f"SELECT {name}", CLIENT, said, failed=failed)
    host = short.removeprefix("external:")
    said = {("http.method" if old else "http.request.method"): "GET"}
    said |= {("net.peer.name" if old else "server.address"): host}
    if habit.names_callees and callee.role is not Role.THIRD_PARTY:
        said["peer.service"] = short
    if outcome in {CallOutcome.WELL, CallOutcome.FAILED}:
        code = 500 if failed else 200
        said |= {("http.status_code" if old else "http.response.status_code"): str(code) if habit.text_codes else code}
    elif habit.text_codes:
        said |= {"http.status_code": "-", "response_flags": "UF" if outcome is CallOutcome.REFUSED else "UT"}
    else:
        said["error.type"] = "connection_refused" if outcome is CallOutcome.REFUSED else "timeout"
    return wire.span_shape("GET", CLIENT, said, failed=failed)
