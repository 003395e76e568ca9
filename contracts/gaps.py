"""What each gap in a service's telemetry means for judging it, and the line of configuration that mends it. One table, for all who tell of gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.verdicts import GapKind

SDK, COLLECTOR, KUBERNETES, HOMEOSTAT = "SDK", "Collector", "Kubernetes", "Homeostat"


@dataclass(frozen=True, slots=True)
class Mend:
    """A line of configuration: where it goes (the SDK's environment, a Collector's or Kubernetes' YAML, Homeostat's settings), and what it is."""

    where: str
    line: str


@dataclass(frozen=True, slots=True)
class GapMeaning:
    """What can't be judged because of a gap, and what mends it, the nearest first."""

    means: str
    mends: tuple[Mend, ...]


_K8SATTRIBUTES: Final = Mend(
    COLLECTOR,
    "processors: {k8sattributes: {extract: {metadata: [k8s.namespace.name, k8s.deployment.name, k8s.pod.uid]}}}",
)
_POD_UID: Final = (
    Mend(KUBERNETES, "env: [{name: POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}]"),
    Mend(SDK, "OTEL_RESOURCE_ATTRIBUTES=service.instance.id=$(POD_UID),k8s.pod.uid=$(POD_UID)"),
)

GAPS_OF: Final[dict[GapKind, GapMeaning]] = {
    GapKind.NO_SPANS: GapMeaning(
        "its requests, failures and latency are not seen, but for what its callers say",
        (
            Mend(SDK, "OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"),
            Mend(KUBERNETES, "metadata: {annotations: {instrumentation.opentelemetry.io/inject-java: 'true'}}"),
        ),
    ),
    GapKind.NO_SERVER_SPANS: GapMeaning(
        "what it serves is not seen: neither its rate, nor its failures, nor its latency are its own",
        (
            Mend(
                SDK,
                "OTEL_INSTRUMENTATION_COMMON_DEFAULT_ENABLED=true (Java); opentelemetry-instrument (Python); NODE_OPTIONS=--require @opentelemetry/auto-instrumentations-node/register",
            ),
            Mend(
                COLLECTOR, "remove what drops spans of kind SERVER from processors: {filter: {traces: {span: [...]}}}"
            ),
        ),
    ),
    GapKind.NO_CLIENT_SPANS: GapMeaning(
        "whom it calls is not seen: it is blamed for what its callees do, and calls that nobody answers are not known",
        (
            Mend(
                SDK,
                "OTEL_INSTRUMENTATION_COMMON_DEFAULT_ENABLED=true (Java); the instrumentation of its HTTP, gRPC and database clients",
            ),
            Mend(
                COLLECTOR, "remove what drops spans of kind CLIENT from processors: {filter: {traces: {span: [...]}}}"
            ),
        ),
    ),
    GapKind.UNNAMED_PEERS: GapMeaning(
        "calls that nobody answers are not known to be calls to anybody: a dependency that is down looks like the caller's fault",
        (
            Mend(
                SDK, "OTEL_INSTRUMENTATION_COMMON_PEER_SERVICE_MAPPING=10.0.0.7=payments,api.bank.example=bank (Java)"
            ),
            Mend(SDK, "OTEL_SEMCONV_STABILITY_OPT_IN=http,database (spans with server.address)"),
            Mend(
                COLLECTOR,
                "processors: {attributes: {actions: [{key: peer.service, from_attribute: server.address, action: insert}]}}",
            ),
        ),
    ),
    GapKind.BROKEN_TRACES: GapMeaning(
        "who called it is not seen: its trouble can't be followed to those who suffer from it",
        (
            Mend(SDK, "OTEL_PROPAGATORS=tracecontext,baggage (the same on callers and callees)"),
            Mend(SDK, "OTEL_TRACES_SAMPLER=parentbased_always_on (on its callers)"),
            Mend(HOMEOSTAT, "ingest: {join_horizon_s: 60} (where its callers' spans come later)"),
        ),
    ),
    GapKind.SAMPLED: GapMeaning(
        "a part of its requests stands for all: rates are too low, rare failures are missed, and a sampler that keeps errors makes it look worse",
        (
            Mend(SDK, "OTEL_TRACES_SAMPLER=parentbased_always_on"),
            Mend(
                COLLECTOR, "remove probabilistic_sampler and tail_sampling from the pipeline that exports to Homeostat"
            ),
        ),
    ),
    GapKind.LATE_SPANS: GapMeaning(
        "a fault is noticed this much later",
        (
            Mend(SDK, "OTEL_BSP_SCHEDULE_DELAY=200"),
            Mend(COLLECTOR, "processors: {batch: {timeout: 200ms}}"),
            Mend(COLLECTOR, "processors: {tail_sampling: {decision_wait: 2s}} (or a pipeline to Homeostat without it)"),
        ),
    ),
    GapKind.LATE_LOGS: GapMeaning(
        "error records are known this much later",
        (Mend(SDK, "OTEL_BLRP_SCHEDULE_DELAY=200"), Mend(COLLECTOR, "processors: {batch: {timeout: 200ms}}")),
    ),
    GapKind.SKEWED_CLOCK: GapMeaning(
        "its times are shifted before they are used: what came first is known less exactly",
        (Mend(KUBERNETES, "run chronyd or systemd-timesyncd on the node (not in the pod)"),),
    ),
    GapKind.NO_LOGS: GapMeaning(
        "what it says of its failures is not seen: no error records, no messages never seen before",
        (
            Mend(SDK, "OTEL_LOGS_EXPORTER=otlp OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED=true"),
            Mend(
                COLLECTOR, "receivers: {filelog: {include: [/var/log/pods/*/*/*.log], operators: [{type: container}]}}"
            ),
        ),
    ),
    GapKind.NO_RESOURCE_METRICS: GapMeaning(
        "whether it is short of CPU or memory is not seen: saturation and leaks are guessed from latency",
        (
            Mend(COLLECTOR, "receivers: {kubeletstats: {auth_type: serviceAccount, collection_interval: 5s}}"),
            Mend(COLLECTOR, "receivers: {docker_stats: {collection_interval: 5s}}"),
            Mend(SDK, "OTEL_METRICS_EXPORTER=otlp (with the runtime's instrumentation)"),
        ),
    ),
    GapKind.SLOW_METRICS: GapMeaning(
        "CPU, memory and queues are seen this far apart: what happens in between is not",
        (
            Mend(SDK, "OTEL_METRIC_EXPORT_INTERVAL=1000"),
            Mend(COLLECTOR, "receivers: {kubeletstats: {collection_interval: 5s}}"),
        ),
    ),
    GapKind.UNMAPPED_METRICS: GapMeaning(
        "what they say is not used",
        (Mend(HOMEOSTAT, "homeostat telemetry unmapped (prints rows for conventions: {metrics: [...]})"),),
    ),
    GapKind.UNNAMED_SERVICE: GapMeaning(
        "several programs are taken for one service, and nobody can act on it",
        (
            Mend(SDK, "OTEL_SERVICE_NAME=checkout"),
            Mend(
                KUBERNETES,
                "env: [{name: OTEL_SERVICE_NAME, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app.kubernetes.io/name']\"}}}]",
            ),
        ),
    ),
    GapKind.NO_NAMESPACE: GapMeaning(
        "the same name elsewhere is taken for the same service, and an actuator has to be told where it runs",
        (
            Mend(SDK, "OTEL_RESOURCE_ATTRIBUTES=service.namespace=shop"),
            Mend(KUBERNETES, "env: [{name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}]"),
            _K8SATTRIBUTES,
        ),
    ),
    GapKind.NO_VERSION: GapMeaning(
        "a bad release is not told from other trouble, unless the cluster is watched",
        (
            Mend(SDK, "OTEL_RESOURCE_ATTRIBUTES=service.version=1.4.2"),
            Mend(COLLECTOR, "processors: {k8sattributes: {extract: {metadata: [container.image.tag]}}}"),
            Mend(HOMEOSTAT, "kubernetes: {watch: true}"),
        ),
    ),
    GapKind.NO_INSTANCE: GapMeaning(
        "its replicas are not told apart: counters of several are mixed, and one that is bad or has a wrong clock isn't found",
        _POD_UID,
    ),
    GapKind.NO_WORKLOAD: GapMeaning(
        "which workload its pods belong to is not told: an actuator finds no target but by the cluster watch",
        (
            _K8SATTRIBUTES,
            Mend(SDK, "OTEL_RESOURCE_ATTRIBUTES=k8s.deployment.name=checkout"),
            Mend(HOMEOSTAT, "kubernetes: {watch: true}"),
        ),
    ),
}
"""By kind, in the order in which they are told."""
