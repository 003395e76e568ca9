"""The discrete-event simulation: queueing theory, conservation, its bytes, and that both fidelities tell of the same world."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from contracts.features import CPU_CORES
from contracts.frames import FeatureFrame, unpack
from contracts.topics import FEATURES, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS
from twin import otlp_bytes as wire
from twin.arrival import Arrival
from twin.blueprint import CallPlan, EntryPlan, Role, ServicePlan, SystemPlan
from twin.configuration import CONFIGURATIONS, Split, generator_of
from twin.episode import Plot, SimulatedEpisode, WindowLevel
from twin.habits import Habit
from twin.load import UserDemand
from twin.requests import CallOutcome, RequestSimulation, Visit
from twin.system import SimulatedSystem


class Ledger:
    """Keeps how long requests took, by service."""

    def __init__(self) -> None:
        self.took: dict[int, list[float]] = {}
        self.outcomes: Counter[CallOutcome] = Counter()

    def served(self, visit: Visit, end_s: float, *, failed: bool) -> None:
        self.took.setdefault(visit.service, []).append(end_s - visit.start_s)

    def called(self, visit: Visit, call: int, me: int, start_s: float, end_s: float, outcome: CallOutcome) -> None:
        self.outcomes[outcome] += 1


def service(name: str, *, threads: int, work_s: float, spread: float = 0.5) -> ServicePlan:
    return ServicePlan(name, Role.SERVICE, Habit(), 1, threads, 64.0, work_s, spread, 0.01, 0.0, 0.3, 5.0, routes=1)


def simulation(
    services: tuple[ServicePlan, ...], calls: tuple[CallPlan, ...], rate: float, seconds: int
) -> tuple[RequestSimulation, Ledger]:
    levels = tuple(range(len(services)))
    plan = SystemPlan("prod", "complete", services, calls, (EntryPlan(0, rate),), levels, 2, 1)
    r = generator_of(Split.TUNING, 1, "des")
    load = UserDemand(r, CONFIGURATIONS[Split.TUNING], plan.entries, 2)
    load._rates = np.full((1, seconds), rate)
    system, ledger = SimulatedSystem(plan, load, r), Ledger()
    requests = RequestSimulation(system, 7, ledger, 0.0)
    for second in range(seconds):
        requests.second(float(second))
    return requests, ledger


@pytest.mark.parametrize("utilisation", [0.4, 0.7])
def test_one_server_waits_as_pollaczek_and_khinchine_say(utilisation: float):
    spread, work = 0.5, 0.04
    mean = work * math.exp(spread**2 / 2)
    rate = utilisation / mean
    variability = math.exp(spread**2) - 1
    wait = utilisation * mean * (1 + variability) / (2 * (1 - utilisation))
    requests, ledger = simulation((service("a", threads=1, work_s=work),), (), rate, 1200)
    assert np.mean(ledger.took[0]) == pytest.approx(mean + wait, rel=0.08)
    assert requests.arrived == pytest.approx(rate * 1200, rel=0.05)


def test_a_caller_that_gives_up_works_no_longer_than_its_patience_and_tries_again():
    call = CallPlan(0, 1, 1.0, timeout_s=0.5, retries=2)
    services = service("a", threads=400, work_s=0.001), service("b", threads=400, work_s=5.0, spread=0.01)
    requests, ledger = simulation(services, (call,), 10.0, 60)
    assert ledger.outcomes[CallOutcome.GIVEN_UP] == pytest.approx(3 * requests.arrived, rel=0.05)
    assert max(ledger.took[0]) < 1.6
    assert min(ledger.took[0]) > 1.5
    assert requests.failed > 500
    assert np.mean(ledger.took[1]) == pytest.approx(5.0, rel=0.02)


@pytest.mark.parametrize("kind", ["deadlock", "crash", "node_down", "link_cut", "surge", "consumer_stalled"])
def test_requests_that_come_are_answered_lost_or_in_flight(kind: str):
    plot = Plot(((5.0, kind),), 25)
    episode = SimulatedEpisode.drawn(Split.TUNING, 3, services=10, style="complete", plot=plot, fidelity="request")
    while not episode.over:
        episode.second()
        q = episode.fidelity.requests  # type: ignore[attr-defined]
        assert q.arrived == q.answered + q.failed + q.lost + q.in_flight
        assert q.in_flight >= 0
        assert all(n >= 0 for n in q.held())


@given(st.integers(0, 2**64 - 1))
def test_numbers_are_written_as_protobuf_does(number: int):
    written = wire.varint(number)
    value = sum((b & 0x7F) << (7 * i) for i, b in enumerate(written))
    assert value == number
    assert written[-1] < 0x80


def test_its_bytes_are_otlp():
    plot = Plot(((10.0, "failing"),), 30)
    episode = SimulatedEpisode.drawn(Split.PROVING, 4, services=12, style="slow_metrics", plot=plot, fidelity="request")
    kinds: Counter[int] = Counter()
    seen: Counter[str] = Counter()
    while not episode.over:
        for message in episode.second():
            if message.topic == OTLP_SPANS:
                for resource in TracesData.FromString(message.value).resource_spans:
                    assert {a.key for a in resource.resource.attributes} >= {"service.name", "service.instance.id"}
                    for span in resource.scope_spans[0].spans:
                        kinds[span.kind] += 1
                        assert len(span.trace_id) == 16
                        assert len(span.span_id) == 8
                        assert span.start_time_unix_nano <= span.end_time_unix_nano <= episode.now_ns
                        assert span.name
            elif message.topic == OTLP_METRICS:
                for resource in MetricsData.FromString(message.value).resource_metrics:
                    seen.update(m.WhichOneof("data") for m in resource.scope_metrics[0].metrics)
            elif message.topic == OTLP_LOGS:
                for resource in LogsData.FromString(message.value).resource_logs:
                    records = resource.scope_logs[0].log_records
                    seen["logs"] += len(records)
                    assert all(r.body.string_value and r.time_unix_nano for r in records)
    assert kinds[2] > 50
    assert kinds[3] > 50
    assert seen["gauge"]
    assert seen["logs"]


@pytest.mark.parametrize("seed", [9, 21])
def test_both_fidelities_tell_of_the_same_world(seed: int):
    """How long requests one by one take, and how many fail, is what the law says that windows are drawn from."""
    begin, seconds = 25, 50
    drawn = SimulatedEpisode.drawn(Split.TUNING, seed, services=8, style="complete")
    entry = drawn.plan.entries[0].service
    plot = Plot(((float(begin), "failing"),), seconds, operations=False, size=0.9, at=drawn.plan.services[entry].name)
    episode = SimulatedEpisode.drawn(Split.TUNING, seed, services=8, style="complete", plot=plot, fidelity="request")
    heard: list[tuple[int, float, float, bool]] = []
    fidelity = episode.fidelity
    served = fidelity.served  # type: ignore[attr-defined]

    def hear(visit: Visit, end_s: float, *, failed: bool) -> None:
        heard.append((visit.service, end_s, end_s - visit.start_s, failed))
        served(visit, end_s, failed=failed)

    fidelity.served = hear  # type: ignore[attr-defined, method-assign]
    laws, failing = [], []
    while not episode.over:
        episode.second()
        assert episode.system.last is not None
        laws.append(episode.system.last.law.mean(axis=1))
        failing.append(float(episode.system.last.failing[entry]))
    usual = np.mean(laws[5:begin], axis=0)
    for i in range(len(episode.plan.services)):
        took = [t for s, at, t, _ in heard if s == i and 5 <= at < begin]
        if len(took) > 200:
            assert np.mean(took) == pytest.approx(usual[i], rel=0.2), episode.plan.services[i].name
    ill = [bad for s, at, _, bad in heard if s == entry and at >= begin + 5]
    chance = 4 * math.sqrt(0.25 / len(ill))
    assert np.mean(ill) == pytest.approx(np.mean(failing[begin + 5 :]), abs=0.03 + chance)


@pytest.mark.parametrize("fidelity", ["window", "request"])
def test_who_is_throttled_uses_no_more_of_its_cores(fidelity: str):
    """What it has less of it can't use more of: a count of cores says so, while the share of its limit rises."""
    plot = Plot(((40.0, "throttled"),), 60, operations=False, size=0.5)
    episode = SimulatedEpisode.drawn(
        Split.TUNING, 62118, services=8, style="complete", plot=plot, fidelity=fidelity, kinds=("throttled",)
    )
    for one in episode.plan.services:
        object.__setattr__(one.habit, "limits_known", False)
        object.__setattr__(one.habit, "metrics_every_s", 1)
    if fidelity == "window":  # it has noted habits already
        episode.fidelity = WindowLevel(episode.system, np.random.default_rng(1))
    used: dict[str, list[tuple[float, float]]] = {}
    while not episode.over:
        for message in episode.second():
            for name, cores in cores_told(message):
                used.setdefault(name, []).append((episode.system.now_s, cores))
    (fault,) = episode.truth.faults
    told = used[fault.service]
    before, since = ([c for at, c in told if (at > 42.0) is late] for late in (False, True))
    assert len(before) > 20
    assert len(since) > 5
    assert np.mean(since) < 1.2 * np.mean(before)


def cores_told(message: Arrival) -> list[tuple[str, float]]:
    """Service and cores used, of a message that tells of such."""
    if message.topic == FEATURES:
        rows = unpack(FeatureFrame, message.value)
        if CPU_CORES not in rows.features:
            return []
        column = rows.values[:, rows.features.index(CPU_CORES)]
        return [(s, float(c)) for s, c in zip(rows.services, column, strict=True) if math.isfinite(c)]
    if message.topic != OTLP_METRICS:
        return []
    found = []
    for resource in MetricsData.FromString(message.value).resource_metrics:
        names = {a.key: a.value.string_value for a in resource.resource.attributes}
        for metric in resource.scope_metrics[0].metrics:
            if metric.name == "container.cpu.usage":
                space = names.get("service.namespace", "")
                name = f"{space}/{names['service.name']}" if space else names["service.name"]
                found.append((name, metric.gauge.data_points[0].as_double))
    return found
