"""What is kept of a cluster's objects: frozen, flat, and small, because there are thousands. Times are epoch nanoseconds, 0
where unknown; texts that many objects share are interned.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec


class ObjectKind(enum.StrEnum):
    """Kinds of objects that are watched, as the API server calls them."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"
    REPLICA_SET = "ReplicaSet"
    POD = "Pod"
    NODE = "Node"
    AUTOSCALER = "HorizontalPodAutoscaler"
    NOTICE = "Event"
    SERVICE = "Service"
    ENDPOINTS = "EndpointSlice"


class Slim(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Base of all records: without cycles, so the garbage collector need not look at them."""


_WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})


class ControllerRef(Slim, frozen=True, gc=False, array_like=True):
    """The controller of an object. `group` is its API group; "" where that isn't known."""

    kind: str
    name: str
    uid: str
    group: str = ""

    @property
    def watched(self) -> bool:
        """Whether it is a workload that is watched itself, and so tells of its releases; others make workloads of the same kind."""
        return self.kind in _WORKLOADS and self.group in ("", "apps")


class ObjectHead(Slim, frozen=True, gc=False, array_like=True):
    """What every object has. `version` is its resourceVersion."""

    kind: ObjectKind
    uid: str
    namespace: str
    name: str
    version: str
    created_ns: int
    owner: ControllerRef | None

    @property
    def place(self) -> str:
        """`kind/namespace/name` in lower case, as people write it."""
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind.lower()}/{where}{self.name}"


class Writer(Slim, frozen=True, gc=False, array_like=True):
    """Who wrote an object's spec last, by the name it gave the API server (its field manager), and when."""

    manager: str = ""
    time_ns: int = 0


class PodTemplate(Slim, frozen=True, gc=False, array_like=True):
    """A pod template as hashes of its parts, so that two can be compared without being kept."""

    images: tuple[str, ...] = ()
    config: int = 0
    """Environment, references to ConfigMaps and Secrets, checksum annotations."""
    resources: int = 0
    restarted: int = 0
    """The annotations by which a rolling restart is asked for."""
    rest: int = 0


class Workload(Slim, frozen=True, gc=False, array_like=True):
    """A Deployment, StatefulSet, DaemonSet or ReplicaSet.

    `revision` is the one that its new pods get, where it says so; of a ReplicaSet the number that its owner gives it.
    """

    head: ObjectHead
    service: str
    replicas: int
    template: PodTemplate
    revision: str = ""
    writer: Writer = Writer()
    last_pod: str = ""
    """uid of the pod that Homeostat itself deleted last."""


class Container(Slim, frozen=True, gc=False, array_like=True):
    """A container of a pod. `ended*` is about the run that ended last."""

    name: str
    restarts: int = 0
    waiting: str = ""
    waiting_text: str = ""
    ended: str = ""
    ended_ns: int = 0
    exit_code: int = 0
    sidecar: bool = False
    """An init container that stays beside the others until these have ended."""
    over: bool = False
    """It has ended and was not started again so far."""


class ConditionMark(Slim, frozen=True, gc=False, array_like=True):
    """A condition that holds: its reason, words, and since when. Without a reason it does not hold."""

    reason: str = ""
    text: str = ""
    since_ns: int = 0


class Pod(Slim, frozen=True, gc=False, array_like=True):
    """A pod. `revision` is that of the template it was made from."""

    head: ObjectHead
    service: str
    node: str
    phase: str
    scheduled_ns: int = 0
    leaving_ns: int = 0
    """When its deletion was asked for; 0 while it may stay."""
    revision: str = ""
    evicted: ConditionMark = ConditionMark()
    unschedulable: ConditionMark = ConditionMark()
    containers: tuple[Container, ...] = ()
    images: tuple[str, ...] = ()
    lasting: bool = False
    """Whether its containers are to run for ever: no job."""
    ready: bool = False
    """Its condition Ready: it is given requests."""
    probed: bool = False
    """Whether a readiness probe is what says so."""
    ip: str = ""
    """Its own address; "" where it shares its node's, or has none yet."""
    networked_ns: int = 0
    """When it was given that address, by its node; 0 where that does not say so."""

    @property
    def addressed_ns(self) -> int:
        """Since when its address is its own: a pod that was scheduled may wait long for its image or its disks, and others have the
        address meanwhile."""
        return self.networked_ns or self.scheduled_ns or self.head.created_ns


class NodeCondition(Slim, frozen=True, gc=False, array_like=True):
    """A condition of a node. `bad`: it should not be so (`Ready` is bad where it is not ready)."""

    type: str
    bad: bool
    mark: ConditionMark


class MachineNode(Slim, frozen=True, gc=False, array_like=True):
    """A machine that pods run on; cordoned, it gets no new ones."""

    head: ObjectHead
    cordoned: bool = False
    conditions: tuple[NodeCondition, ...] = ()


class Autoscaler(Slim, frozen=True, gc=False, array_like=True):
    """A HorizontalPodAutoscaler. `limited` holds while it would have more replicas than it may."""

    head: ObjectHead
    target_kind: str
    target: str
    low: int
    high: int
    writer: Writer = Writer()
    limited: ConditionMark = ConditionMark()


class Notice(Slim, frozen=True, gc=False, array_like=True):
    """An Event of type Warning about an object."""

    head: ObjectHead
    about_kind: str
    about_uid: str
    about: str
    reason: str
    text: str
    first_ns: int
    last_ns: int


class ClusterService(Slim, frozen=True, gc=False, array_like=True):
    """A Service. `addresses` are all that lead to it from inside or outside, IPs and host names of load balancers."""

    head: ObjectHead
    addresses: tuple[str, ...] = ()
    outside: str = ""
    """The host that it is another name of (ExternalName)."""
    headless: bool = False


class EndpointSlice(Slim, frozen=True, gc=False, array_like=True):
    """Some of what is behind a Service: uids of pods, and addresses of which no pod is named."""

    head: ObjectHead
    service: str
    pods: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


Thing = Workload | Pod | MachineNode | Autoscaler | Notice | ClusterService | EndpointSlice
