"""From the API server's JSON to records, one function per kind. Pure.

All raise msgspec.DecodeError (or its subclass ValidationError) for what is no such object.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Final

import msgspec

from connectors.kubernetes import wire
from connectors.kubernetes.naming import LABELS, of_canary, service_of, template_hash, top_workload
from connectors.kubernetes.objects import (
    Autoscaler,
    ClusterService,
    ConditionMark,
    Container,
    ControllerRef,
    EndpointSlice,
    MachineNode,
    NodeCondition,
    Notice,
    ObjectHead,
    ObjectKind,
    Pod,
    Thing,
    Workload,
    Writer,
)
from connectors.kubernetes.template import summary
from contracts.units import SECOND

_TEXT: Final = 300
"""Characters kept of what the cluster says in words."""
_LAST_POD: Final = "homeostat.io/last-pod"
_REVISIONS: Final = ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision")
"""Annotations in which a ReplicaSet's owner numbers its releases; going back raises the number of an old one."""
_CONTROLLERS: Final = "kube-controller-manager"
AUTOSCALING: Final = "horizontal-pod-autoscaler"
_BAD_NODE: Final = frozenset({"MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"})

_POD = msgspec.json.Decoder(wire.WirePod)
_WORKLOAD = msgspec.json.Decoder(wire.WireWorkload)
_TEMPLATE = msgspec.json.Decoder(wire.WireTemplate)
_NODE = msgspec.json.Decoder(wire.WireNode)
_AUTOSCALER = msgspec.json.Decoder(wire.WireAutoscaler)
_NOTICE = msgspec.json.Decoder(wire.WireNotice)
_SERVICE = msgspec.json.Decoder(wire.WireService)
_SLICE = msgspec.json.Decoder(wire.WireSlice)
_SERVICE_NAME: Final = "kubernetes.io/service-name"
"""The label by which a slice says whose it is; https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetesioservice-name"""
_HEADLESS: Final = "None"
_NETWORKED: Final = ("PodReadyToStartContainers", "PodHasNetwork")
"""Conditions of a pod that has its address; https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-has-network"""

Reader = Callable[[bytes | msgspec.Raw], Thing]


def reader(kind: ObjectKind, labels: tuple[str, ...] = LABELS) -> Reader:
    """The function that reads objects of a kind; `labels` name services, best first."""
    match kind:
        case ObjectKind.POD:
            return lambda raw: pod(raw, labels)
        case ObjectKind.NODE:
            return node
        case ObjectKind.AUTOSCALER:
            return autoscaler
        case ObjectKind.NOTICE:
            return notice
        case ObjectKind.SERVICE:
            return service
        case ObjectKind.ENDPOINTS:
            return endpoints
        case _:
            return lambda raw: workload(raw, kind, labels)


def workload(raw: bytes | msgspec.Raw, kind: ObjectKind, labels: tuple[str, ...] = LABELS) -> Workload:
    """A Deployment, StatefulSet, DaemonSet or ReplicaSet."""
    found = _WORKLOAD.decode(raw)
    template = _TEMPLATE.decode(found.spec.template)
    head, marks = _head(found.metadata, kind), found.metadata.annotations or {}
    every = kind is ObjectKind.DAEMON_SET
    number = next((marks[key] for key in _REVISIONS if marks.get(key)), "")
    return Workload(
        head=head,
        service=_service(*_named(head, template.metadata, labels), template.spec.containers, labels),
        replicas=found.status.desired_number_scheduled if every else _or(found.spec.replicas, 1),
        template=summary(found.spec.template),
        revision=number if kind is ObjectKind.REPLICA_SET else found.status.update_revision or "",
        writer=_writer(found.metadata),
        last_pod=marks.get(_LAST_POD, ""),
    )


def pod(raw: bytes | msgspec.Raw, labels: tuple[str, ...] = LABELS) -> Pod:
    """A pod."""
    found = _POD.decode(raw)
    meta, status, head = found.metadata, found.status, _head(found.metadata, ObjectKind.POD)
    own = meta.labels or {}
    top = top_workload(head.owner.kind, head.owner.name, own) if head.owner else (str(ObjectKind.POD), head.name)
    conditions = {c.type: c for c in status.conditions or ()}
    scheduled = conditions.get("PodScheduled")
    networked = next((conditions[c] for c in _NETWORKED if c in conditions), None)
    statuses = [*(status.init_container_statuses or ()), *(status.container_statuses or ())]
    sidecars = {c.name for c in found.spec.init_containers or () if c.restart_policy == "Always"}
    return Pod(
        head=head,
        service=_service(top, wire.TemplateMetadata(meta.labels, meta.annotations), found.spec.containers, labels),
        node=sys.intern(found.spec.node_name or ""),
        phase=sys.intern(status.phase),
        scheduled_ns=_ns(scheduled.last_transition_time) if scheduled and scheduled.status == "True" else 0,
        leaving_ns=_leaving_ns(meta),
        revision=sys.intern(own.get("controller-revision-hash") or template_hash(own)),
        evicted=_evicted(status, conditions.get("DisruptionTarget")),
        unschedulable=_mark(scheduled) if scheduled and scheduled.status == "False" else ConditionMark(),
        containers=tuple(_container(s, sidecars) for s in statuses),
        images=tuple(sys.intern(c.image or "") for c in found.spec.containers or ()),
        lasting=found.spec.restart_policy in (None, "Always"),
        ready=(mark := conditions.get("Ready")) is not None and mark.status == "True",
        probed=any(c.readiness_probe is not None for c in found.spec.containers or ()),
        ip=status.pod_ip if status.pod_ip and status.pod_ip != status.host_ip else "",
        networked_ns=_ns(networked.last_transition_time) if networked and networked.status == "True" else 0,
    )


def node(raw: bytes | msgspec.Raw) -> MachineNode:
    """A node."""
    found = _NODE.decode(raw)
    return MachineNode(
        head=_head(found.metadata, ObjectKind.NODE),
        cordoned=bool(found.spec.unschedulable),
        conditions=tuple(_conditions(found.status.conditions or ())),
    )


def autoscaler(raw: bytes | msgspec.Raw) -> Autoscaler:
    """A HorizontalPodAutoscaler."""
    found = _AUTOSCALER.decode(raw)
    limited = next((c for c in found.status.conditions or () if c.type == "ScalingLimited"), None)
    over = limited is not None and limited.status == "True" and limited.reason == "TooManyReplicas"
    return Autoscaler(
        head=_head(found.metadata, ObjectKind.AUTOSCALER),
        target_kind=found.spec.scale_target_ref.kind,
        target=found.spec.scale_target_ref.name,
        low=_or(found.spec.min_replicas, 1),
        high=found.spec.max_replicas,
        writer=_writer(found.metadata),
        limited=_mark(limited) if over and limited else ConditionMark(),
    )


def notice(raw: bytes | msgspec.Raw) -> Notice:
    """An Event."""
    found = _NOTICE.decode(raw)
    head, about = _head(found.metadata, ObjectKind.NOTICE), found.involved_object
    first = _ns(found.first_timestamp) or _ns(found.event_time) or head.created_ns
    last = _ns(found.series.last_observed_time) if found.series else 0
    return Notice(
        head=head,
        about_kind=sys.intern(about.kind),
        about_uid=about.uid,
        about=about.name,
        reason=sys.intern(found.reason or ""),
        text=(found.message or "")[:_TEXT],
        first_ns=first,
        last_ns=max(first, last, _ns(found.last_timestamp)),
    )


def service(raw: bytes | msgspec.Raw) -> ClusterService:
    """A Service."""
    found = _SERVICE.decode(raw)
    spec, balancer = found.spec, found.status.load_balancer or wire.LoadBalancer()
    own = [*(spec.cluster_ips or ()), spec.cluster_ip or "", *(spec.external_ips or ())]
    own += [text or "" for ingress in balancer.ingress or () for text in (ingress.ip, ingress.hostname)]
    return ClusterService(
        head=_head(found.metadata, ObjectKind.SERVICE),
        addresses=tuple(dict.fromkeys(a for a in own if a and a != _HEADLESS)),
        outside=(spec.external_name or "") if spec.type == "ExternalName" else "",
        headless=spec.cluster_ip == _HEADLESS,
    )


def endpoints(raw: bytes | msgspec.Raw) -> EndpointSlice:
    """An EndpointSlice."""
    found = _SLICE.decode(raw)
    pods: list[str] = []
    rest: list[str] = []
    for endpoint in found.endpoints or ():
        target = endpoint.target_ref
        if target is not None and target.kind == "Pod" and target.uid:
            pods.append(target.uid)
        else:
            rest += endpoint.addresses or ()
    head = _head(found.metadata, ObjectKind.ENDPOINTS)
    of = (found.metadata.labels or {}).get(_SERVICE_NAME, "")
    return EndpointSlice(head, sys.intern(of), tuple(pods), tuple(rest))


def _named(
    head: ObjectHead, meta: wire.TemplateMetadata, wanted: tuple[str, ...]
) -> tuple[tuple[str, str], wire.TemplateMetadata]:
    """Kind, name and template's metadata by which a workload is named."""
    own, labels = (str(head.kind), head.name), meta.labels or {}
    if head.owner is None:
        return own, meta
    if head.kind is ObjectKind.REPLICA_SET:
        return top_workload(head.owner.kind, head.owner.name, labels), meta
    if head.owner.kind == "Canary":
        labels, name = of_canary(labels, head.name, wanted)
        return (str(head.kind), name), wire.TemplateMetadata(labels, meta.annotations)
    return own, meta


def _head(meta: wire.Metadata, kind: ObjectKind) -> ObjectHead:
    if not meta.uid or not meta.name:
        raise msgspec.ValidationError(f"a {kind} without a name or uid")
    reference = next((o for o in meta.owner_references or () if o.controller), None)
    owner = None if reference is None else _owner(reference)
    namespace = sys.intern(meta.namespace)
    return ObjectHead(kind, meta.uid, namespace, meta.name, meta.resource_version, _ns(meta.creation_timestamp), owner)


def _owner(reference: wire.OwnerReference) -> ControllerRef:
    group, slash, _ = reference.api_version.partition("/")
    texts = (reference.kind, reference.name, reference.uid, group if slash else "")
    return ControllerRef(*(sys.intern(text) for text in texts))


def _service(
    top: tuple[str, str],
    meta: wire.TemplateMetadata,
    containers: Iterable[wire.ContainerSpec] | None,
    labels: tuple[str, ...],
) -> str:
    environment = (
        (v.name, v.value or "", v.value_from.field_ref.field_path if v.value_from and v.value_from.field_ref else "")
        for c in containers or ()
        for v in c.env or ()
    )
    return sys.intern(service_of(*top, meta.labels or {}, meta.annotations or {}, environment, labels))


def _writer(meta: wire.Metadata) -> Writer:
    """The newest entry of managedFields that is about the spec. What the controllers note on an object themselves does not
    count, but for the scaling that an autoscaler asks for."""
    entries = [
        (_ns(m.time), m.manager if m.manager != _CONTROLLERS else AUTOSCALING)
        for m in meta.managed_fields or ()
        if m.subresource != "status" and (m.manager != _CONTROLLERS or m.subresource == "scale")
    ]
    time_ns, manager = max(entries, key=lambda e: e[0], default=(0, ""))
    return Writer(sys.intern(manager), time_ns)


def _leaving_ns(meta: wire.Metadata) -> int:
    if meta.deletion_timestamp is None:
        return 0
    return _ns(meta.deletion_timestamp) - (meta.deletion_grace_period_seconds or 0) * SECOND


def _evicted(status: wire.PodStatus, disruption: wire.WireCondition | None) -> ConditionMark:
    if disruption is not None and disruption.status == "True":
        return _mark(disruption)
    if status.reason == "Evicted":
        return ConditionMark("Evicted", (status.message or "")[:_TEXT], _ns(status.start_time))
    return ConditionMark()


def _mark(condition: wire.WireCondition) -> ConditionMark:
    reason = sys.intern(condition.reason or condition.type)
    return ConditionMark(reason, (condition.message or "")[:_TEXT], _ns(condition.last_transition_time))


def _conditions(found: Iterable[wire.WireCondition]) -> Iterable[NodeCondition]:
    for c in found:
        if c.type == "Ready" or c.type in _BAD_NODE:
            bad = c.status != "True" if c.type == "Ready" else c.status == "True"
            yield NodeCondition(sys.intern(c.type), bad, _mark(c))


def _container(status: wire.ContainerStatus, sidecars: Collection[str]) -> Container:
    now, last = status.state or wire.ContainerState(), status.last_state or wire.ContainerState()
    ended, waiting = now.terminated or last.terminated, now.waiting
    return Container(
        name=sys.intern(status.name),
        restarts=status.restart_count,
        waiting=sys.intern((waiting.reason if waiting else "") or ""),
        waiting_text=((waiting.message if waiting else "") or "")[:_TEXT],
        ended=sys.intern((ended.reason if ended else "") or ""),
        ended_ns=_ns(ended.finished_at) if ended else 0,
        exit_code=ended.exit_code if ended else 0,
        sidecar=status.name in sidecars,
        over=now.terminated is not None,
    )


def _ns(time: datetime | None) -> int:
    return 0 if time is None else int(time.timestamp()) * SECOND + time.microsecond * 1000


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
