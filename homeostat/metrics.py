"""Prometheus metrics on Homeostat itself: read from the parts when asked for, nothing is counted twice.

`METRICS` is the one list; docs/metrics.md is generated from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: name (without `homeostat_`), type, labels, meaning."""

    name: str
    type: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    text: str


METRICS: Final[dict[str, MetricSpec]] = {
    m.name: m
    for m in (
        MetricSpec("stage_events", "counter", ("stage", "what"), "what each stage processed, dropped and why"),
        MetricSpec("graph_writes", "counter", ("result",), "graph writes written, failed, dropped"),
        MetricSpec("graph_queue", "gauge", (), "graph writes waiting"),
        MetricSpec("runs", "gauge", ("state",), "runs not yet ended, by state"),
        MetricSpec("runs_ended", "counter", ("state",), "runs that ended, by state; unknown ones need a person"),
        MetricSpec("runs_refused", "counter", ("reason",), "runs that ended as refused, by reason"),
        MetricSpec("journal_entries", "gauge", ("kind",), "runs and facts that the journal holds"),
        MetricSpec(
            "journal_forgotten",
            "counter",
            ("what", "why"),
            "runs that ended, and decisions that had none, that the journal forgot: by age, or by its limit",
        ),
        MetricSpec(
            "journal_overfull", "gauge", (), "runs that the journal holds above act.journal_runs: all are needed still"
        ),
        MetricSpec(
            "acting_allowed",
            "gauge",
            ("scope",),
            "0 while the kill switch stops acting in an environment or, as `*`, everywhere",
        ),
        MetricSpec(
            "watch_synced", "gauge", (), "1 once the cluster was listed whole; only on the worker that watches it"
        ),
        MetricSpec("watch_objects", "gauge", ("kind",), "objects of the cluster that are known"),
        MetricSpec(
            "watch_events",
            "counter",
            ("kind", "what"),
            "what was read of the cluster, by kind of object; and what was told, as kind `change`",
        ),
        MetricSpec(
            "receiver_messages",
            "counter",
            ("what",),
            "OTLP messages received and sent to the log (small ones together); requests and connections refused, by reason",
        ),
        MetricSpec(
            "source_messages",
            "counter",
            ("source", "what"),
            "messages of sources received and sent to the log (small ones together), tried again, refused by reason",
        ),
        MetricSpec(
            "sink_events",
            "counter",
            ("sink", "what"),
            "events delivered to sinks, tried again, refused by the sink, given up, unreadable",
        ),
        MetricSpec("assigned_partitions", "gauge", (), "topic partitions this process owns"),
        MetricSpec(
            "lag_messages", "gauge", ("topic",), "messages of owned partitions not taken yet, as of the last fetch"
        ),
        MetricSpec("unacknowledged_messages", "gauge", (), "messages taken whose consequences are not saved yet"),
        MetricSpec("loop_age_seconds", "gauge", (), "time since the consume loop last made progress"),
        MetricSpec("data_free_bytes", "gauge", (), "space left where the data folder is"),
        MetricSpec("background_crashes", "counter", ("task",), "crashes of background work; it begins again by itself"),
        MetricSpec(
            "background_failing",
            "gauge",
            ("task",),
            "background tasks of that name that crashed and haven't run for a minute since",
        ),
        MetricSpec("live", "gauge", (), "0 when the consume loop stands still: what /livez says"),
        MetricSpec("healthy", "gauge", (), "1 while it does its share and lacks nothing: what /healthz says"),
        MetricSpec("lacks", "gauge", ("what",), "1 for what is lacking now: log, graph, policy, data, pace, …"),
        MetricSpec(
            "behind_seconds", "gauge", (), "age of the oldest message that waits to be read, 0 where none waits"
        ),
        MetricSpec("services", "gauge", ("environment", "state"), "services by their state, in environments acted for"),
        MetricSpec(
            "strictness_decades",
            "gauge",
            ("environment",),
            "decades of evidence beyond what is usual that an anomaly must have to open, in environments acted for",
        ),
        MetricSpec(
            "false_incidents_accepted",
            "gauge",
            ("environment",),
            "false incidents per week that are accepted; as many as are expected where nothing is set",
        ),
        MetricSpec(
            "incidents_last_week",
            "gauge",
            ("environment", "outcome"),
            "incidents of the last week: said_false, said_right (by people), repaired (verified), unknown",
        ),
        MetricSpec(
            "ready", "gauge", (), "1 once partitions are assigned (or there are none left) and state is recovered"
        ),
    )
}

Sample = tuple[str, tuple[str, ...], float]
"""Metric name, label values, value."""


class _PartsCollector(Collector):
    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """One family per metric, filled from what the parts say now."""
        families = {
            m.name: (CounterMetricFamily if m.type == "counter" else GaugeMetricFamily)(
                f"homeostat_{m.name}", m.text, labels=m.labels
            )
            for m in METRICS.values()
        }
        for name, labels, value in self._read():
            families[name].add_metric(list(labels), value)
        yield from families.values()


def registry(read: Callable[[], Iterable[Sample]]) -> CollectorRegistry:
    """A registry that asks `read` for samples at each scrape."""
    found = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=found)
    found.register(_PartsCollector(read))
    return found


def reference() -> str:
    """docs/metrics.md."""
    rows = [
        f"| `homeostat_{_exposed(m)}` | {m.type} | {', '.join(m.labels) or '—'} | {m.text} |" for m in METRICS.values()
    ]
    head = "# Metrics\n\nServed on `/metrics` of the API endpoint. Generated from `homeostat/metrics.py`.\n\n"
    return head + "| metric | type | labels | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _exposed(metric: MetricSpec) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name
