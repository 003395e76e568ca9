"""Labels of Prometheus' series as OTLP: who a series is of, and which of its labels are attributes of its points.

https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics: `job` is namespace/name or name, `instance` the
service's instance, `target_info` carries the resource's other attributes. A job that only says how targets were found names no service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from connectors.otlp.values import Plain

_FOUND_BY: Final = re.compile(
    r"(?:kubernetes|k8s|kube|consul|ec2|docker|file|dns|nomad)[-_/]?(?:sd|pods?|nodes?|services?|service-endpoints|endpoints?|ingresses|containers?|scrape"
    r"|pods-slow|service-endpoints-slow)?(?:/.*)?|podMonitor/.*|serviceMonitor/.*|integrations/.*|node|app|apps|default|pods?|services?|targets?"
)
"""Jobs that name a way of discovery: all of an installation's services have the same."""
_NAMES: Final = (
    *("service_name", "app_kubernetes_io_name", "kubernetes_name", "label_app_kubernetes_io_name", "k8s_app", "app"),
    *("application", "service", "deployment", "container"),
)
"""Labels that name the service where the job doesn't."""
_RESOURCE: Final = {
    "namespace": "k8s.namespace.name",
    "kubernetes_namespace": "k8s.namespace.name",
    "k8s_namespace_name": "k8s.namespace.name",
    "pod": "k8s.pod.name",
    "kubernetes_pod_name": "k8s.pod.name",
    "k8s_pod_name": "k8s.pod.name",
    "k8s_pod_uid": "k8s.pod.uid",
    "k8s_container_name": "k8s.container.name",
    "k8s_deployment_name": "k8s.deployment.name",
    "k8s_node_name": "k8s.node.name",
    "k8s_cluster_name": "k8s.cluster.name",
    "cluster": "k8s.cluster.name",
    "service_name": "service.name",
    "service_namespace": "service.namespace",
    "service_version": "service.version",
    "service_instance_id": "service.instance.id",
    "deployment_environment_name": "deployment.environment.name",
    "deployment_environment": "deployment.environment.name",
    "host_name": "host.name",
}
"""Labels of a target, or of target_info, that say who it is."""
_OF_TARGETS: Final = frozenset({"job", "instance"})
_OF_SCOPES: Final = ("otel_scope_", "__")
TARGET_INFO: Final = "target_info"


def target_of(labels: Mapping[str, str]) -> tuple[str, str]:
    """Job and instance: what a series and its target_info have in common."""
    return labels.get("job", ""), labels.get("instance", "")


def resource_of(labels: Mapping[str, str], info: Mapping[str, str]) -> dict[str, Plain]:
    """Attributes of the resource of a series; `info` are the labels of its target_info."""
    found: dict[str, Plain] = {}
    exported = any(label.startswith("exported_") for label in labels)
    for source in (labels, info):
        for label, attribute in _RESOURCE.items():
            if label in source and not (exported and source is labels and label in ("namespace", "pod")):
                found[attribute] = source[label]
    job, instance = target_of(labels)
    namespace, slash, name = job.rpartition("/")
    if job and not _FOUND_BY.fullmatch(job):
        if slash and "service.name" not in found:
            found.setdefault("service.namespace", namespace)
        found.setdefault("service.name", name)
    elif "service.name" not in found:
        named = next((labels[n] for n in _NAMES if labels.get(n)), "") or name
        if named:
            found["service.name"] = named
    if instance:
        found.setdefault("service.instance.id", instance)
    return found


def attributes_of(labels: Mapping[str, str]) -> dict[str, Plain]:
    """Attributes of the points of a series."""
    return {k: v for k, v in labels.items() if k not in _OF_TARGETS and not k.startswith(_OF_SCOPES)}
