"""The API server's JSON as far as it is needed: typed structs that live as long as it takes to make a record of them.

https://kubernetes.io/docs/reference/kubernetes-api/. What msgspec doesn't find declared here it skips without making
objects of it. Go writes empty lists and maps as null, hence the many `| None`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import msgspec

Labels = dict[str, str] | None
T = TypeVar("T")


class Wire(msgspec.Struct, rename="camel", gc=False, frozen=True):
    """Base: camelCase names."""


class OwnerReference(Wire, frozen=True):
    """metadata.ownerReferences[]"""

    kind: str
    name: str
    uid: str
    api_version: str = ""
    controller: bool | None = None


class ManagedFields(Wire, frozen=True):
    """metadata.managedFields[], without the fields."""

    manager: str = ""
    subresource: str = ""
    time: datetime | None = None


class Metadata(Wire, frozen=True):
    """metadata"""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    labels: Labels = None
    annotations: Labels = None
    owner_references: list[OwnerReference] | None = None
    managed_fields: list[ManagedFields] | None = None


class FieldRef(Wire, frozen=True):
    """env[].valueFrom.fieldRef"""

    field_path: str = ""


class ValueFrom(Wire, frozen=True):
    """env[].valueFrom"""

    field_ref: FieldRef | None = None


class EnvVarWire(Wire, frozen=True):
    """env[]"""

    name: str
    value: str | None = None
    value_from: ValueFrom | None = None


class ContainerSpec(Wire, frozen=True):
    """spec.containers[], spec.initContainers[]"""

    name: str = ""
    image: str | None = None
    restart_policy: str | None = None
    """Always makes an init container one that stays beside the others (a native sidecar)."""
    env: list[EnvVarWire] | None = None
    readiness_probe: dict[str, msgspec.Raw] | None = None


class Ended(Wire, frozen=True):
    """state.terminated"""

    reason: str | None = None
    exit_code: int = 0
    finished_at: datetime | None = None


class Waiting(Wire, frozen=True):
    """state.waiting"""

    reason: str | None = None
    message: str | None = None


class ContainerState(Wire, frozen=True):
    """state, lastState"""

    waiting: Waiting | None = None
    terminated: Ended | None = None


class ContainerStatus(Wire, frozen=True):
    """status.containerStatuses[]"""

    name: str
    restart_count: int = 0
    state: ContainerState | None = None
    last_state: ContainerState | None = None


class WireCondition(Wire, frozen=True):
    """status.conditions[]"""

    type: str
    status: str
    reason: str | None = None
    message: str | None = None
    last_transition_time: datetime | None = None


class PodSpec(Wire, frozen=True):
    """spec of a pod."""

    node_name: str | None = None
    restart_policy: str | None = None
    containers: list[ContainerSpec] | None = None
    init_containers: list[ContainerSpec] | None = None


class PodStatus(Wire, frozen=True):
    """status of a pod."""

    phase: str = ""
    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    host_ip: str | None = msgspec.field(default=None, name="hostIP")
    reason: str | None = None
    message: str | None = None
    start_time: datetime | None = None
    conditions: list[WireCondition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class WirePod(Wire, frozen=True):
    """v1 Pod"""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class TemplateMetadata(Wire, frozen=True):
    """spec.template.metadata"""

    labels: Labels = None
    annotations: Labels = None


class TemplateSpec(Wire, frozen=True):
    """spec.template.spec"""

    containers: list[ContainerSpec] | None = None


class WireTemplate(Wire, frozen=True):
    """spec.template"""

    metadata: TemplateMetadata = TemplateMetadata()
    spec: TemplateSpec = TemplateSpec()


class WorkloadSpec(Wire, frozen=True):
    """spec of a workload; the template is read twice: typed, and whole for its hashes."""

    replicas: int | None = None
    template: msgspec.Raw = msgspec.Raw(b"{}")


class WorkloadStatus(Wire, frozen=True):
    """status of a workload."""

    update_revision: str | None = None
    desired_number_scheduled: int = 0


class WireWorkload(Wire, frozen=True):
    """apps/v1 Deployment, StatefulSet, DaemonSet, ReplicaSet"""

    metadata: Metadata
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


class NodeSpec(Wire, frozen=True):
    """spec of a node."""

    unschedulable: bool | None = None


class NodeStatusWire(Wire, frozen=True):
    """status of a node."""

    conditions: list[WireCondition] | None = None


class WireNode(Wire, frozen=True):
    """v1 Node"""

    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatusWire = NodeStatusWire()


class ScaleTarget(Wire, frozen=True):
    """spec.scaleTargetRef"""

    kind: str = ""
    name: str = ""


class AutoscalerSpec(Wire, frozen=True):
    """spec of a HorizontalPodAutoscaler."""

    scale_target_ref: ScaleTarget = ScaleTarget()
    min_replicas: int | None = None
    max_replicas: int = 0


class AutoscalerStatus(Wire, frozen=True):
    """status of a HorizontalPodAutoscaler."""

    conditions: list[WireCondition] | None = None


class WireAutoscaler(Wire, frozen=True):
    """autoscaling/v2 HorizontalPodAutoscaler"""

    metadata: Metadata
    spec: AutoscalerSpec = AutoscalerSpec()
    status: AutoscalerStatus = AutoscalerStatus()


class InvolvedObject(Wire, frozen=True):
    """involvedObject"""

    kind: str = ""
    name: str = ""
    uid: str = ""


class EventSeries(Wire, frozen=True):
    """series"""

    last_observed_time: datetime | None = None


class WireNotice(Wire, frozen=True):
    """v1 Event"""

    metadata: Metadata
    involved_object: InvolvedObject = InvolvedObject()
    reason: str | None = None
    message: str | None = None
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    series: EventSeries | None = None


class Ingress(Wire, frozen=True):
    """status.loadBalancer.ingress[]"""

    ip: str | None = None
    hostname: str | None = None


class LoadBalancer(Wire, frozen=True):
    """status.loadBalancer"""

    ingress: list[Ingress] | None = None


class ServiceSpec(Wire, frozen=True):
    """spec of a Service."""

    type: str = ""
    external_name: str | None = None
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    external_ips: list[str] | None = msgspec.field(default=None, name="externalIPs")


class ServiceStatus(Wire, frozen=True):
    """status of a Service."""

    load_balancer: LoadBalancer | None = None


class WireService(Wire, frozen=True):
    """v1 Service"""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class TargetRef(Wire, frozen=True):
    """endpoints[].targetRef"""

    kind: str = ""
    uid: str = ""


class Endpoint(Wire, frozen=True):
    """endpoints[]"""

    addresses: list[str] | None = None
    target_ref: TargetRef | None = None


class WireSlice(Wire, frozen=True):
    """discovery.k8s.io/v1 EndpointSlice"""

    metadata: Metadata
    endpoints: list[Endpoint] | None = None


class ListMeta(Wire, frozen=True):
    """metadata of a list."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class WireList(Wire, frozen=True):
    """A page of a list; items are decoded one by one, so that one that can't be read spoils no other."""

    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


class WireEvent(Wire, frozen=True):
    """A line of a watch."""

    type: str
    object: msgspec.Raw


class StatusWire(Wire, frozen=True):
    """v1 Status: what the API server says where something went wrong."""

    message: str | None = None
    reason: str | None = None
    code: int = 0


class Bare(Wire, frozen=True):
    """Any object, for its metadata alone."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
