"""Which service a pod or workload is: the name under which its telemetry arrives.

In order: what the containers' environment tells the OpenTelemetry SDK, the annotations of the OpenTelemetry operator, the
given labels, and last the workload's own name, as the Collector's k8sattributes processor would have it. This is what an object
says of itself; telemetry that names the pod or workload knows better (`joining`).
https://opentelemetry.io/docs/specs/semconv/non-normative/k8s-attributes/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote

from connectors.otlp.identity import identify
from connectors.otlp.values import Plain

LABELS: Final = ("app.kubernetes.io/name", "app")
_COMPONENTS: Final = ("app.kubernetes.io/component", "component")
"""Labels by which parts of one application differ that share its name: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/"""
_HASHES: Final = ("pod-template-hash", "rollouts-pod-template-hash")
"""Labels that the Deployment controller and Argo Rollouts give pods; names of their ReplicaSets end with them."""
_SERVERLESS: Final = "serving.knative.dev/service"
"""Knative has a Deployment for each revision of a service, labelled `app` as that revision."""
_PRIMARY: Final = "-primary"
_ANNOTATION: Final = "resource.opentelemetry.io/"
_NAME, _NAMESPACE = "service.name", "service.namespace"
_FIELD: Final = re.compile(r"^metadata\.(labels|annotations)\['([^']+)'\]$")
_JOB: Final = re.compile(r"-\d{8,}$")
_KEYS: Final = {
    "Deployment": "k8s.deployment.name",
    "StatefulSet": "k8s.statefulset.name",
    "DaemonSet": "k8s.daemonset.name",
    "ReplicaSet": "k8s.replicaset.name",
    "CronJob": "k8s.cronjob.name",
    "Job": "k8s.job.name",
}
Texts = Mapping[str, str]


def service_of(
    kind: str,
    name: str,
    labels: Texts,
    annotations: Texts,
    environment: Iterable[tuple[str, str, str]] = (),
    wanted: tuple[str, ...] = LABELS,
) -> str:
    """The service of pods with these labels and annotations, run by the workload `name`.

    `environment` holds (variable, value, field path) of the containers, `wanted` the labels to look at, best first.
    """
    told = _told(labels, annotations, environment)
    labelled = _labelled(labels, name, wanted)
    attributes: dict[str, Plain] = {_KEYS.get(kind, "k8s.container.name"): name}
    attributes[_NAME] = told.get(_NAME) or annotations.get(_ANNOTATION + _NAME) or labelled
    attributes[_NAMESPACE] = told.get(_NAMESPACE) or annotations.get(_ANNOTATION + _NAMESPACE) or ""
    return identify(attributes, "").resource.service


def top_workload(owner_kind: str, owner_name: str, labels: Texts) -> tuple[str, str]:
    """Kind and name of the workload that a pod or ReplicaSet belongs to in the end, told from what it says itself."""
    suffix = f"-{template_hash(labels)}"
    if owner_kind == "ReplicaSet" and len(suffix) > 1 and owner_name.endswith(suffix):
        return "Deployment", owner_name.removesuffix(suffix)
    if owner_kind == "Job" and _JOB.search(owner_name):
        return "CronJob", _JOB.sub("", owner_name)
    return owner_kind, owner_name


def template_hash(labels: Texts) -> str:
    """The label by which a ReplicaSet's pods are known; "" for others."""
    return next((labels[key] for key in _HASHES if labels.get(key)), "")


def of_canary(labels: Texts, name: str, wanted: tuple[str, ...] = LABELS) -> tuple[dict[str, str], str]:
    """Labels and name of what Flagger runs as `cart-primary`, as `cart` has them: the copy that serves while it tries another."""
    plain = {k: v.removesuffix(_PRIMARY) if k in wanted else v for k, v in labels.items()}
    return plain, name.removesuffix(_PRIMARY)


def _labelled(labels: Texts, name: str, wanted: tuple[str, ...]) -> str:
    """The first label that is there; but the workload's name where it is one of several components under that label."""
    if labels.get(_SERVERLESS):
        return labels[_SERVERLESS]
    labelled = next((labels[key] for key in wanted if labels.get(key)), "")
    component = next((labels[key] for key in _COMPONENTS if labels.get(key)), "")
    several = component not in ("", labelled) and labelled not in ("", name)
    return name if several and component in name else labelled


def _told(labels: Texts, annotations: Texts, environment: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """The first container that says it counts; the variable of its own goes before the list of attributes, as in the SDKs."""
    named: dict[str, str] = {}
    listed: dict[str, str] = {}
    for variable, value, path in environment:
        text = value or _field(path, labels, annotations)
        if variable == "OTEL_SERVICE_NAME" and text:
            named.setdefault(_NAME, text)
        elif variable == "OTEL_RESOURCE_ATTRIBUTES":
            for key, attribute in _pairs(text):
                listed.setdefault(key, attribute)
    return {key: text for key, text in (listed | named).items() if "$(" not in text}


def _field(path: str, labels: Texts, annotations: Texts) -> str:
    match = _FIELD.match(path)
    return "" if match is None else (labels if match[1] == "labels" else annotations).get(match[2], "")


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    for pair in text.split(","):
        key, found, value = pair.partition("=")
        if found and key.strip() in {_NAME, _NAMESPACE}:
            yield key.strip(), unquote(value.strip())
