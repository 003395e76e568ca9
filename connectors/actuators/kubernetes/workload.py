"""What the API server says of a workload, read from its JSON. Pure.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from connectors import paths
from contracts.claims import PODS
from contracts.errors import InvalidTarget, TargetNotFound
from contracts.ports import Identity, Mark, Target

LAST_ACTION: Final = "homeostat.io/last-action"
LAST_POD: Final = "homeostat.io/last-pod"
ACTED_BY: Final = "homeostat.io/acted-by"
"""Annotation with the `Mark` of the installation that acted last."""
_NAMESPACE: Final = "k8s.namespace.name"
_KINDS: Final = {
    "deployments": "k8s.deployment.name",
    "statefulsets": "k8s.statefulset.name",
    "daemonsets": "k8s.daemonset.name",
}
_JOBS: Final = {"k8s.cronjob.name": "CronJob", "k8s.job.name": "Job"}
ROLLOUTS: Final = "rollouts"
_GROUPS: Final = {ROLLOUTS: ("argoproj.io", "v1alpha1")}
KINDS: Final = {
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    ROLLOUTS: "Rollout",
}
Json = Mapping[str, Any]
_TELL: Final = f"its telemetry should say {_NAMESPACE} and {' or '.join(_KINDS.values())}"


@dataclass(frozen=True, slots=True)
class WorkloadPath:
    """Where a workload is, if it is there. `kind`: deployments, statefulsets, daemonsets, or rollouts (of Argo).

    Raises:
        InvalidTarget: it can't be anywhere, as no namespace or workload can be called that.
    """

    namespace: str
    kind: str
    name: str

    def __post_init__(self) -> None:
        paths.label(self.namespace, "namespace")
        paths.subdomain(self.name, KINDS[self.kind])

    @property
    def path(self) -> str:
        """Path of the workload."""
        return paths.path("apis", *self.group, "namespaces", self.namespace, self.kind, self.name)

    @property
    def group(self) -> tuple[str, str]:
        """API group and version."""
        return _GROUPS.get(self.kind, ("apps", "v1"))

    @property
    def keeps_sets(self) -> bool:
        """Whether each release is a ReplicaSet; else it is a ControllerRevision."""
        return self.kind in ("deployments", ROLLOUTS)

    def of_namespace(self, group: str, kind: str, *names: str) -> str:
        """Path of the objects of a kind beside it, of one of them by its name, or of a part of that one."""
        return group + paths.path("namespaces", self.namespace, kind, *names)


def places(target: Target) -> list[WorkloadPath]:
    """Where a target may be: as its attributes say, else by its name.

    Raises:
        InvalidTarget: an attribute is no name of its kind.
        TargetNotFound: no attribute says what it is, and its own name is no workload's.
    """
    namespace, told = namespace_of(target), told_places(target)
    if told:
        return told
    pods = target.attributes.get(PODS, "")
    name = pods or target.service.rpartition("/")[2]
    if pods:
        return [WorkloadPath(namespace, kind, name) for kind in _KINDS]
    if target.service.count("/") > 1 or not paths.is_subdomain(name):
        raise TargetNotFound(f"no workload can be called {paths.shown(target.service)}", fix=_TELL)
    return [WorkloadPath(namespace, kind, name) for kind in _KINDS]


def namespace_of(target: Target) -> str:
    """Where a target is. Not checked yet."""
    return target.attributes.get(_NAMESPACE) or "default"


def told_places(target: Target) -> list[WorkloadPath]:
    """What a target's attributes name; none where they name no workload that could be acted on.

    Raises:
        InvalidTarget: an attribute is no name of its kind, or they name a job.
    """
    namespace, attributes = namespace_of(target), target.attributes
    told = [WorkloadPath(namespace, kind, attributes[key]) for kind, key in _KINDS.items() if attributes.get(key)]
    job = next(((kind, attributes[key]) for key, kind in _JOBS.items() if attributes.get(key)), None)
    if job is not None and not told:
        raise InvalidTarget(
            f"{target.service} is {job[0]} {paths.shown(job[1])}, which runs to its end: there is nothing to act on"
        )
    return told


def place_of(namespace: str, kind: str, name: str) -> WorkloadPath | None:
    """Where a workload of a kind as the API server calls it is; None where nothing here acts on that kind."""
    found = next((plural for plural, one in KINDS.items() if one == kind), None)
    return None if found is None else WorkloadPath(namespace, found, name)


def identity_of(scope: str, place: WorkloadPath, body: Json) -> Identity:
    """What a workload is, by what the server says of it and not by what was asked for."""
    namespace, name = str(body["metadata"]["namespace"]), str(body["metadata"]["name"])
    attributes = {_NAMESPACE: namespace, _KINDS.get(place.kind, _KINDS["deployments"]): name}
    return Identity(scope, KINDS[place.kind], name, namespace, str(body["metadata"]["uid"]), attributes)


def selector_of(workload: Json) -> str:
    """Its label selector, as a query wants it. A Rollout that borrows another's template says it in its status."""
    selector = workload["spec"].get("selector")
    if selector is None:
        return str(workload.get("status", {}).get("selector", ""))
    parts = [f"{k}={v}" for k, v in sorted(selector.get("matchLabels", {}).items())]
    for rule in selector.get("matchExpressions", ()):
        key, values = rule["key"], ",".join(sorted(rule.get("values") or ()))
        plain = {"Exists": key, "DoesNotExist": f"!{key}"}
        parts.append(plain.get(rule["operator"]) or f"{key} {rule['operator'].lower()} ({values})")
    return ",".join(parts)


def image_version(template: Json) -> str:
    """Tag (or digest) of the first container's image, which is what a person calls the version."""
    containers = template.get("spec", {}).get("containers") or [{}]
    image = str(containers[0].get("image", ""))
    name, _, digest = image.partition("@")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    return tag if colon else digest or ("latest" if name else "")


def marks_of(thing: Json) -> Mapping[str, str]:
    """Its annotations; none is an empty mapping."""
    return thing["metadata"].get("annotations") or {}


def acted_of(things: Iterable[Json]) -> Mark | None:
    """Who acted last on a workload, or on what scales it."""
    found = (Mark.of(marks_of(thing).get(ACTED_BY, "")) for thing in things)
    return max((m for m in found if m is not None), key=lambda m: m.time_ns, default=None)


def labels_of(thing: Json) -> Mapping[str, str]:
    """Its labels; none is an empty mapping."""
    return thing["metadata"].get("labels") or {}


def template_of(workload: Json) -> Mapping[str, Any]:
    """Its pod template; empty where it borrows another's."""
    return workload["spec"].get("template") or {}


def owned(things: Iterable[Json], owner: Json) -> list[Json]:
    """Those that `owner` controls."""
    uid = owner["metadata"]["uid"]
    return [t for t in things if any(r["uid"] == uid for r in t["metadata"].get("ownerReferences") or ())]


def wanted(workload: Json) -> int:
    """Replicas asked for (the API server's default is one); of a DaemonSet the nodes it is to be on."""
    status = workload.get("status", {})
    return int(status.get("desiredNumberScheduled", workload["spec"].get("replicas", 1)))


def serving(workload: Json) -> int:
    """Pods that are ready."""
    status = workload.get("status", {})
    return int(status.get("numberReady", status.get("readyReplicas", 0)))


def leaving(pod: Json) -> bool:
    """Whether it is being deleted."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def ready(pod: Json) -> bool:
    """Whether it serves."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def settled(workload: Json) -> bool:
    """Whether the controller has seen the newest spec and all it asks for is there and nothing else.

    As `kubectl rollout status` judges: observedGeneration, then updated and available pods.
    """
    status, count = workload.get("status", {}), wanted(workload)
    observed = str(status.get("observedGeneration", 0))  # of a Rollout a text, and once a hash
    seen = not observed.isdecimal() or int(observed) >= int(workload["metadata"].get("generation", 0))
    if "desiredNumberScheduled" in status:
        done = (int(status.get(f, 0)) for f in ("updatedNumberScheduled", "numberAvailable"))
        return seen and all(n >= count for n in done)
    updated = int(status.get("updatedReplicas", 0))
    if "updateRevision" in status and status.get("currentRevision") == status["updateRevision"]:
        updated = count  # a StatefulSet whose rollout is over stops counting
    available = int(status.get("availableReplicas", 0))
    if workload["kind"] == "Rollout" and workload["spec"].get("restartAt") not in (None, status.get("restartedAt")):
        return False
    return seen and updated >= count and available >= count and int(status.get("replicas", 0)) == count


def progress(workload: Json) -> str:
    """How far it is, in words."""
    status, count = workload.get("status", {}), wanted(workload)
    stuck = [
        f"; {c.get('reason', '')}: {c.get('message', '')}"
        for c in status.get("conditions") or ()
        if (c["type"] == "Progressing" and c["status"] == "False") or c["type"] == "ReplicaFailure"
    ]
    counts = {w: status.get(f"{w}Replicas", 0) for w in ("updated", "ready", "available")}
    if "desiredNumberScheduled" in status:
        fields = ("updatedNumberScheduled", "numberReady", "numberAvailable")
        counts = {w: status.get(f, 0) for w, f in zip(counts, fields, strict=True)}
    parts = (f"{n} {w}" for w, n in counts.items())
    return f"of {count} replicas {', '.join(parts)}{''.join(stuck)}"


def pod_to_restart(pods: Iterable[Json], name: str) -> Json | None:
    """The named pod; without a name one that isn't ready, else the oldest."""
    there = [p for p in pods if not leaving(p)]
    if name:
        return next((p for p in there if p["metadata"]["name"] == name), None)
    order = sorted(there, key=lambda p: (ready(p), p["metadata"].get("creationTimestamp") or "", p["metadata"]["name"]))
    return order[0] if order else None
