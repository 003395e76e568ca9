"""A cluster in memory, behind the actuator's own connection: what is asked of it is what would have left for the API server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from yarl import URL

from connectors.actuators.kubernetes import KubernetesActuator
from connectors.actuators.kubernetes.client import Cluster
from connectors.kubernetes.access import Access
from connectors.kubernetes.failures import ACTING
from connectors.kubernetes.request import Request
from connectors.kubernetes.transport import Limits, Transport
from contracts.settings import ActSettings

UID = "0c6e5f6e-1111-4a52-8a3d-2f3b9d1c7a10"
KINDS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}
Json = dict[str, Any]
_NODES = dict.fromkeys(("desiredNumberScheduled", "updatedNumberScheduled", "numberReady", "numberAvailable"), 3)


@dataclass
class Reply:
    """As the client's library gives one."""

    status: int
    body: Any
    reason: str = ""

    def read(self) -> bytes:
        return json.dumps(self.body).encode()


@dataclass
class Objects:
    """`things` by (namespace, kind, name). `seen` are requests as they arrive: after the HTTP library has resolved `..`."""

    things: dict[tuple[str, str, str], Json] = field(default_factory=dict)
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    made: int = 0
    owned: dict[tuple[str, str], list[Json]] = field(default_factory=dict)
    """ReplicaSets and pods, by namespace and kind."""

    def add(self, namespace: str, kind: str, name: str, labels: Json | None = None, pods: int = 0) -> None:
        """A workload, or one made anew in its place, with as many pods: `cart-7d9f8b6c5d-bbbb2`, or `db-2`."""
        self.made += 1
        self.things[namespace, kind, name] = {
            "apiVersion": "apps/v1",
            "kind": KINDS[kind],
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-{self.made}",
                "resourceVersion": "1",
                "generation": 1,
                "annotations": {},
            },
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": labels or {}}, "spec": {}},
            },
            "status": {
                "observedGeneration": 1,
                "replicas": 3,
                "updatedReplicas": 3,
                "readyReplicas": 3,
                "availableReplicas": 3,
                **(_NODES if kind == "daemonsets" else {}),
            },
        }

        self._add_pods(namespace, KINDS[kind], name, pods)

    def _add_pods(self, namespace: str, kind: str, name: str, count: int) -> None:
        owner = {"kind": kind, "name": name, "uid": f"uid-{self.made}", "controller": True}
        suffix = "-7d9f8b6c5d-bbbb" if kind == "Deployment" else "-bbbb" if kind == "DaemonSet" else "-"
        if kind == "Deployment" and count:
            one = {"name": f"{name}-7d9f8b6c5d", "uid": f"rs-{name}", "ownerReferences": [owner]}
            template = {
                "metadata": {"labels": {}},
                "spec": {"containers": [{"name": "main", "image": "registry/cart:1.4"}]},
            }
            a_set = {"metadata": one, "spec": {"replicas": count, "template": template}}
            self.owned.setdefault((namespace, "replicasets"), []).append(a_set)
            owner = {"kind": "ReplicaSet", "name": one["name"], "uid": one["uid"], "controller": True}
        for i in range(2, 2 + 2 * count, 2):
            pod = {"name": f"{name}{suffix}{i}", "uid": pod_uid(namespace, name, i), "ownerReferences": [owner]}
            self.owned.setdefault((namespace, "pods"), []).append({"metadata": pod, "status": {}})

    def answer(self, method: str, path: str, body: str | None, query: Mapping[str, str] | None = None) -> Reply:
        """What an API server does: names in a path mean what they say once they are unquoted."""
        arrived = URL(f"http://cluster{path}").raw_path
        self.seen.append((method, arrived, body))
        parts = [unquote(part) for part in arrived.strip("/").split("/")]
        if parts == ["api", "v1", "namespaces", "kube-system"]:
            return Reply(200, {"metadata": {"name": "kube-system", "uid": UID}})
        if parts[-1] in ("pods", "replicasets"):
            kept, name = self.owned.get((parts[-2], parts[-1]), []), (query or {}).get("fieldSelector", "")
            return Reply(200, {"items": [i for i in kept if name in ("", f"metadata.name={i['metadata']['name']}")]})
        if parts[:4] != ["apis", "apps", "v1", "namespaces"] or len(parts) not in {6, 7}:
            listed = method == "GET" and len(parts) == (6 if parts[0] == "apis" else 5)
            return Reply(200, {"items": []}) if listed else Reply(404, {"message": "not found"})
        if len(parts) == 6:
            return Reply(200, {"items": [t for k, t in self.things.items() if k[:2] == (parts[4], parts[5])]})
        thing = self.things.get((parts[4], parts[5], parts[6]))
        if thing is None:
            return Reply(404, {"message": "not found"})
        if method == "PATCH":
            said = json.loads(body or "{}")
            given = said["metadata"] if isinstance(said, dict) else {}
            if given.get("uid") != thing["metadata"]["uid"]:
                return Reply(409, {"message": "the UID in the precondition does not match"})
            thing["metadata"]["annotations"] |= given.get("annotations", {})
        return Reply(200, thing)


def pod_uid(namespace: str, name: str, number: int) -> str:
    """The uid of a pod."""
    return f"pod-{namespace}-{name}-{number}"


class Link(Cluster):
    """The actuator's connection, with `Objects` behind its transport in place of an API server."""

    def __init__(self, objects: Objects) -> None:
        super().__init__("")
        self._transport = InMemory(objects)


class InMemory(Transport):
    """The transport up to where a request would leave this process."""

    def __init__(self, objects: Objects) -> None:
        super().__init__(Access("http://cluster", True, None, None, None), ACTING)
        self._objects = objects

    async def _exchange(self, request: Request, limits: Limits) -> tuple[int, bytes]:
        reply = self._objects.answer(
            request.method, request.path, None if request.body is None else request.body.decode(), request.query
        )
        return reply.status, json.dumps(reply.body).encode()


def actuator_on(objects: Objects, environments: Mapping[str, Any]) -> KubernetesActuator:
    """The actuator as it is, on these objects by whatever context."""
    actuator = KubernetesActuator(ActSettings.model_validate({"environments": environments}))
    link = Link(objects)
    actuator._clusters._at = lambda binding: link  # type: ignore[method-assign,assignment]
    return actuator
