"""Samplers of traces as there are, and what the pipeline makes of shops of whose traces they keep a part."""

from __future__ import annotations

import functools
import json
import multiprocessing
import pickle
import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.settings import Settings
from contracts.topics import OTLP_METRICS, OTLP_SPANS
from tests.scenarios.traffic import END_S, ONSET_S, SERVER, T0, Found, PipelineRun, Plan, Route, S, Shop, Trouble

SETTINGS = Settings(detect={"detectors": ("bank",)})
BUSY = (
    Route("GET /", 18, 4, {"catalog": 1.0, "reco": 1.0}),
    Route("POST /buy", 12, 4, {"checkout": 1.0}),
)
Spans = list[tuple[int, str, dict[str, Any]]]
Sampler = Callable[[int, Spans], bool]
"""Whether the trace with this id is kept; it may write into its spans what it did. Traces come in the order of their beginning."""
WHOLE64 = 1 << 64
TENTH = 0.1
SLOW_NS = 45_000_000
STEP_NS = S


def _below(trace: int) -> float:
    return (trace & (WHOLE64 - 1)) / WHOLE64


def failed(spans: Spans) -> bool:
    return any("status" in span for _, _, span in spans)


def _took_long(spans: Spans) -> bool:
    root = _root(spans)
    return int(root["endTimeUnixNano"]) - int(root["startTimeUnixNano"]) > SLOW_NS


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
        span["traceState"] = "ot=th:0" if failed(spans) else "ot=th:e6666666666666"
    return failed(spans) or random.Random(trace).random() < TENTH


def unseen(trace: int, spans: Spans) -> bool:
    """By a hash of its own, silent: nothing in spans shows it."""
    return random.Random(trace ^ 0x5EED).random() < TENTH


def failures_first(trace: int, spans: Spans) -> bool:
    """A tail sampler: all that failed, and a tenth of the rest, silent."""
    return failed(spans) or unseen(trace, spans)


def failures_only(trace: int, spans: Spans) -> bool:
    """A tail sampler that keeps nothing but what failed."""
    return failed(spans)


def slow_first(trace: int, spans: Spans) -> bool:
    """A tail sampler: all that took long, and a tenth of the rest."""
    return _took_long(spans) or unseen(trace, spans)


def slow_only(trace: int, spans: Spans) -> bool:
    """A tail sampler that keeps nothing but what took long."""
    return _took_long(spans)


def policies(trace: int, spans: Spans) -> bool:
    """A tail sampler: all that failed, all that took long, and a hundredth of the rest."""
    return failed(spans) or _took_long(spans) or at_share(0.01)(trace, spans)


def at_share(share: float) -> Sampler:
    """A part, by a hash of its own, silent."""
    return lambda trace, spans: random.Random(trace ^ 0x5EED).random() < share


def in_steps(trace: int, spans: Spans) -> bool:
    """A half, and some seconds later a twentieth."""
    begun = min(int(span["startTimeUnixNano"]) for _, _, span in spans)
    return at_share(0.5 if begun < T0 + (ONSET_S + 8) * S else 0.05)(trace, spans)


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


def sampled(
    spans: Sequence[tuple[int, str, dict[str, Any]]], sampler: Sampler, since_s: float, until_s: float
) -> Spans:
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


def _resource(service: str) -> dict[str, Any]:
    return {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}


def sent(spans: Spans, until_s: float = END_S) -> Iterator[tuple[int, bytes, str]]:
    """Messages as a Collector sends them: of all services, one a second."""
    steps: dict[int, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for end, service, span in spans:
        if end < T0 + until_s * S:
            steps[end // STEP_NS + 1][service].append(span)
    for step, services in sorted(steps.items()):
        entries = [
            {"resource": _resource(service), "scopeSpans": [{"spans": some}]} for service, some in services.items()
        ]
        yield step * STEP_NS, json.dumps({"resourceSpans": entries}).encode(), OTLP_SPANS


BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]
"""As semantic conventions advise for durations of requests."""


def _bucketed(seconds: Sequence[float]) -> list[str]:
    counts = [0] * (len(BOUNDS) + 1)
    for one in seconds:
        counts[bisect_left(BOUNDS, one)] += 1
    return [str(n) for n in counts]


def metrics(spans: Spans, every_s: int) -> Iterator[tuple[int, bytes, str]]:
    """What services count of all requests, sampled or not, read every so many seconds."""
    took: dict[tuple[int, str, int], list[float]] = defaultdict(list)
    for end, service, span in spans:
        if span["kind"] == SERVER:
            seconds = (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / S
            took[(end - T0) // S // every_s, service, 500 if "status" in span else 200].append(seconds)
    for period in range(END_S // every_s):
        until_ns = T0 + (period + 1) * every_s * S
        entries = []
        for service in sorted({s for _, s, _ in took}):
            points = [
                {
                    "startTimeUnixNano": str(until_ns - every_s * S),
                    "timeUnixNano": str(until_ns - 1),
                    "count": str(len(took[period, service, status])),
                    "sum": sum(took[period, service, status]),
                    "bucketCounts": _bucketed(took[period, service, status]),
                    "explicitBounds": BOUNDS,
                    "attributes": [{"key": "http.response.status_code", "value": {"intValue": str(status)}}],
                }
                for status in (200, 500)
                if took[period, service, status]
            ]
            metric = {
                "name": "http.server.request.duration",
                "unit": "s",
                "histogram": {"aggregationTemporality": 1, "dataPoints": points},
            }
            entries.append({"resource": _resource(service), "scopeMetrics": [{"metrics": [metric]}]})
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
LONG_TAIL = {"payment": Trouble(slower=12, often=0.04), "reco": Trouble(slower=12, often=0.02)}
"""A few requests take far longer than the rest, as ever."""
PLANS = {
    "well": Plan(usual=BUSY),
    "always fails a little": Plan(usual=BUSY, trouble=FEW_FAIL, always_ill=True),
    "fails a little": Plan(usual=BUSY, trouble=FEW_FAIL),
    "checkout fails": Plan(usual=BUSY, trouble={"checkout": Trouble(fails=0.6)}),
    "checkout is slow": Plan(usual=BUSY, trouble={"checkout": Trouble(slower=30)}),
    "checkout is slower": Plan(usual=BUSY, trouble={"checkout": Trouble(slower=8)}),
    "has a long tail": Plan(usual=BUSY, trouble=LONG_TAIL, always_ill=True),
}


def telemetry_of(case: Sampled, seed: int, begin_s: float, end_s: float) -> list[tuple[int, bytes, str]]:
    """What is sent of a shop within a time."""
    whole = _whole(case.plan, seed)
    told = [*sent(sampled(whole, case.sampler, case.since_s, case.until_s))]
    told += metrics(whole, case.metrics_s) if case.metrics_s else ()
    found = [m for m in told if T0 + begin_s * S < m[0] <= T0 + end_s * S]
    return sorted(found, key=lambda m: m[0])


@functools.cache
def _whole(plan: str, seed: int) -> Spans:
    return Shop(PLANS[plan], seed).spans_by_end()


@functools.cache
def _until_onset(plan: str, metrics_s: int, seed: int) -> PipelineRun:
    """A shop of which all was kept so far: how each sampler's shop begins."""
    return _lived(tuple(telemetry_of(Sampled(plan, lambda *_: True, metrics_s), seed, 0, ONSET_S)))


@functools.cache
def _lived(telemetry: tuple[tuple[int, bytes, str], ...]) -> PipelineRun:
    """What has taken this in: shops that differ only in what goes wrong later begin alike."""
    run = PipelineRun(SETTINGS, T0, STEP_NS)
    run.take(telemetry)
    return run


def watched(case: Sampled, seed: int) -> Found:
    """What the pipeline makes of a shop. What was before a sampler begins is watched once for all of them: each goes on from there in a
    process of its own."""
    if case.since_s < ONSET_S:
        whole = PipelineRun(SETTINGS, T0, STEP_NS)
        whole.take(telemetry_of(case, seed, 0, END_S))
        return whole.found
    before = _until_onset(case.plan, case.metrics_s, seed)
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)

    def go_on() -> None:
        before.take(telemetry_of(case, seed, ONSET_S, END_S))
        there.send_bytes(pickle.dumps(before.found))

    process = fork.Process(target=go_on)
    process.start()
    there.close()
    found: Found = pickle.loads(here.recv_bytes())
    here.close()
    process.join()
    return found
