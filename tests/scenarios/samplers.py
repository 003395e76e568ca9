"""Samplers of traces as there are, and a watch of shops that are sampled: several in one session, each an environment of its own.

Each shop is watched whole for a minute; then a part of its traces is kept in the way of a sampler.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.events import Anomaly, Decision, Incident, decode, encode
from contracts.ports import Record, TargetState
from contracts.settings import Settings
from contracts.topics import ANOMALIES, DECISIONS, INCIDENTS, OTLP_METRICS, OTLP_SPANS, TARGETS, TOPICS
from homeostat.wiring import stage_specs
from playbooks.language import library
from streams.in_memory import MemoryPipeline
from tests.acting_half import ActingHalf
from tests.scenarios.traffic import END_S, KNOWN, ONSET_S, SERVER, T0, Found, Plan, Route, S, Shop, Trouble

SETTINGS = Settings(detect={"detectors": ("bank",)})
BUSY = (
    Route("GET /", 20, 4, {"catalog": 1.0, "reco": 1.0}),
    Route("POST /buy", 14, 4, {"checkout": 1.0}),
)
Spans = list[tuple[int, str, dict[str, Any]]]
Sampler = Callable[[int, Spans], bool]
"""Whether the trace with this id is kept; it may write into its spans what it did. Traces come in the order of their beginning."""
WHOLE64 = 1 << 64
TENTH = 0.1
SLOW_NS = 45_000_000
STEP_NS = S // 2


def _below(trace: int) -> float:
    return (trace & (WHOLE64 - 1)) / WHOLE64


def _failed(spans: Spans) -> bool:
    return any("status" in span for _, _, span in spans)


def _root(spans: Spans) -> dict[str, Any]:
    return next(span for _, _, span in spans if "parentSpanId" not in span)


def by_ratio(trace: int, spans: Spans) -> bool:
    """The low 64 bits below a bound (OpenTelemetry for Python, Go)."""
    return _below(trace) < TENTH


def by_signed_ratio(trace: int, spans: Spans) -> bool:
    """Their absolute value as a signed number (Java)."""
    low = trace & (WHOLE64 - 1)
    signed = low - WHOLE64 if low >> 63 else low
    return abs(signed) < TENTH * (1 << 63)


def by_threshold(trace: int, spans: Spans) -> bool:
    """Consistent probability sampling, silent."""
    return (trace & ((1 << 56) - 1)) >= (1 - TENTH) * (1 << 56)


def told_threshold(trace: int, spans: Spans) -> bool:
    """The same by other bits, with its threshold on each span."""
    for _, _, span in spans:
        span["traceState"] = "vendor=x,ot=th:e6666666666666"
    return random.Random(trace).random() < TENTH


def told_exponent(trace: int, spans: Spans) -> bool:
    """As before 2024: the negative logarithm of the probability."""
    for _, _, span in spans:
        span["traceState"] = "ot=p:3;r:7"
    return random.Random(trace).random() < 1 / 8


def told_at_the_root(trace: int, spans: Spans) -> bool:
    """Jaeger's clients: tags on the root."""
    _root(spans)["attributes"] += [
        {"key": "sampler.type", "value": {"stringValue": "probabilistic"}},
        {"key": "sampler.param", "value": {"doubleValue": TENTH}},
    ]
    return random.Random(trace).random() < TENTH


def told_failures_first(trace: int, spans: Spans) -> bool:
    """All that failed and a tenth of the rest, with the threshold on each span."""
    for _, _, span in spans:
        span["traceState"] = "ot=th:0" if _failed(spans) else "ot=th:e6666666666666"
    return _failed(spans) or random.Random(trace).random() < TENTH


def unseen(trace: int, spans: Spans) -> bool:
    """By a hash of its own, silent: nothing in spans shows it."""
    return random.Random(trace ^ 0x5EED).random() < TENTH


def failures_first(trace: int, spans: Spans) -> bool:
    """A tail sampler: all that failed, and a tenth of the rest, silent."""
    return _failed(spans) or unseen(trace, spans)


def failures_only(trace: int, spans: Spans) -> bool:
    """A tail sampler that keeps nothing but what failed."""
    return _failed(spans)


def slow_first(trace: int, spans: Spans) -> bool:
    """A tail sampler: all that took long, and a tenth of the rest."""
    root = _root(spans)
    return int(root["endTimeUnixNano"]) - int(root["startTimeUnixNano"]) > SLOW_NS or unseen(trace, spans)


def by_route(trace: int, spans: Spans) -> bool:
    """A policy for each route: what is bought is kept, of the rest a part, and what failed."""
    return _root(spans)["name"] == "POST /buy" or failures_first(trace, spans)


def limited(rate: int, first: Callable[[Spans], bool] = lambda _: False) -> Sampler:
    """So many traces a second, whatever comes (Jaeger's rate-limiting sampler; a tail sampler's rate_limiting policy, which what fails
    does not use up)."""
    taken: dict[int, int] = defaultdict(int)

    def keeps(trace: int, spans: Spans) -> bool:
        second = min(int(span["startTimeUnixNano"]) for _, _, span in spans) // S
        taken[second] += 1
        return first(spans) or taken[second] <= rate

    return keeps


def sampled(spans: Sequence[tuple[int, str, dict[str, Any]]], sampler: Sampler, since_s: float, until_s: float) -> Spans:
    """What a sampler keeps of spans whose traces begin within a time."""
    traces: dict[str, Spans] = defaultdict(list)
    for end, service, span in spans:
        traces[span["traceId"]].append((end, service, {**span, "attributes": [*span["attributes"]]}))
    begun = {trace: min(int(span["startTimeUnixNano"]) for _, _, span in some) for trace, some in traces.items()}
    kept: Spans = []
    for trace in sorted(begun, key=lambda t: (begun[t], t)):
        if not T0 + since_s * S <= begun[trace] < T0 + until_s * S or sampler(int(trace, 16), traces[trace]):
            kept += traces[trace]
    return sorted(kept, key=lambda found: found[0])


def _resource(service: str, environment: str) -> dict[str, Any]:
    said = {"service.name": service, "deployment.environment.name": environment}
    return {"attributes": [{"key": k, "value": {"stringValue": v}} for k, v in said.items()]}


def sent(spans: Spans, environment: str) -> Iterator[tuple[int, bytes, str]]:
    """Messages as a Collector sends them: of all services, two a second."""
    steps: dict[int, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for end, service, span in spans:
        if end < T0 + END_S * S:
            steps[end // STEP_NS + 1][service].append(span)
    for step, services in sorted(steps.items()):
        entries = [
            {"resource": _resource(service, environment), "scopeSpans": [{"spans": some}]}
            for service, some in services.items()
        ]
        yield step * STEP_NS, json.dumps({"resourceSpans": entries}).encode(), OTLP_SPANS


def metrics(spans: Spans, every_s: int, environment: str) -> Iterator[tuple[int, bytes, str]]:
    """What services count of all requests, sampled or not, read every so many seconds."""
    counts: dict[tuple[int, str, int], int] = defaultdict(int)
    for end, service, span in spans:
        if span["kind"] == SERVER:
            counts[(end - T0) // S // every_s, service, 500 if "status" in span else 200] += 1
    for period in range(END_S // every_s):
        until_ns = T0 + (period + 1) * every_s * S
        entries = []
        for service in sorted({s for _, s, _ in counts}):
            points = [
                {
                    "startTimeUnixNano": str(until_ns - every_s * S),
                    "timeUnixNano": str(until_ns - 1),
                    "count": str(counts[period, service, status]),
                    "sum": 0.01,
                    "bucketCounts": [str(counts[period, service, status]), "0"],
                    "explicitBounds": [0.025],
                    "attributes": [{"key": "http.response.status_code", "value": {"intValue": str(status)}}],
                }
                for status in (200, 500)
                if counts[period, service, status]
            ]
            metric = {
                "name": "http.server.request.duration",
                "unit": "s",
                "histogram": {"aggregationTemporality": 1, "dataPoints": points},
            }
            entries.append({"resource": _resource(service, environment), "scopeMetrics": [{"metrics": [metric]}]})
        yield until_ns, json.dumps({"resourceMetrics": entries}).encode(), OTLP_METRICS


@dataclass(frozen=True)
class Sampled:
    """A shop, what is kept of its traces from when on, and how often its metrics are read (0: it has none)."""

    plan: str
    sampler: Sampler
    metrics_s: int = 0
    since_s: float = ONSET_S
    until_s: float = END_S


FEW_FAIL = {"checkout": Trouble(fails=0.004), "catalog": Trouble(fails=0.004)}
PLANS = {
    "well": Plan(usual=BUSY),
    "always fails a little": Plan(usual=BUSY, trouble=FEW_FAIL, always_ill=True),
    "fails a little": Plan(usual=BUSY, trouble=FEW_FAIL),
    "checkout fails": Plan(usual=BUSY, trouble={"checkout": Trouble(fails=0.6)}),
    "checkout is slow": Plan(usual=BUSY, trouble={"checkout": Trouble(slower=30)}),
}

def watched(cases: Mapping[str, Sampled], seed: int, told: Callable[[Record], None] = lambda _: None) -> dict[str, Found]:
    """What the pipeline makes of shops, by the name of the case, which is its environment's, too."""
    whole = {plan: Shop(PLANS[plan], seed).spans_by_end() for plan in sorted({case.plan for case in cases.values()})}
    telemetry: list[tuple[int, bytes, str]] = []
    for name, case in cases.items():
        telemetry += sent(sampled(whole[case.plan], case.sampler, case.since_s, case.until_s), name)
        telemetry += metrics(whole[case.plan], case.metrics_s, name) if case.metrics_s else ()
    return through(sorted(telemetry, key=lambda m: m[0]), cases, told)


def through(
    telemetry: Iterable[tuple[int, bytes, str]], environments: Iterable[str], told: Callable[[Record], None]
) -> dict[str, Found]:
    """What the pipeline makes of messages of several environments, each twice a second. Nothing is acted on."""
    found = {name: Found() for name in environments}

    def hear(record: Record) -> None:
        told(record)
        if record.topic == INCIDENTS:
            incident = decode(Incident, record.value)
            found[incident.environment].incidents.append(incident)
        elif record.topic == ANOMALIES:
            anomaly = decode(Anomaly, record.value)
            found[anomaly.environment].anomalies.append(anomaly)
        elif record.topic == DECISIONS:
            decision = decode(Decision, record.value)
            found[decision.environment].decisions.append(decision)

    pipeline = MemoryPipeline(stage_specs(SETTINGS, dict.fromkeys(TOPICS, 2), library()), 2, hear)
    halves = [ActingHalf({s: TargetState(2, 2, "v2", "v1") for s in KNOWN}, name) for name in found]
    now_ns = T0
    for count, (at, payload, topic) in enumerate(telemetry):
        while now_ns < at:
            now_ns = min(now_ns + STEP_NS, at)
            for half in halves:
                pipeline.feed(TARGETS, encode(half.report(now_ns)), now_ns, key=half.environment.encode())
            pipeline.tick(now_ns)
        pipeline.feed(topic, payload, now_ns, partition=count % 2)
    return found
