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

    def add(self, namespace: str, kind: str, name: str) -> None:
        """A workload, or one made anew in its place."""
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
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}}, "template": {"spec": {}}},
            "status": {
                "observedGeneration": 1,
                "replicas": 3,
                "updatedReplicas": 3,
                "readyReplicas": 3,
                "availableReplicas": 3,
                **(_NODES if kind == "daemonsets" else {}),
            },
        }

    def answer(self, method: str, path: str, body: str | None) -> Reply:
        """What an API server does: names in a path mean what they say once they are unquoted."""
        arrived = URL(f"http://cluster{path}").raw_path
        self.seen.append((method, arrived, body))
        parts = [unquote(part) for part in arrived.strip("/").split("/")]
        if parts == ["api", "v1", "namespaces", "kube-system"]:
            return Reply(200, {"metadata": {"name": "kube-system", "uid": UID}})
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
            request.method, request.path, None if request.body is None else request.body.decode()
        )
        return reply.status, json.dumps(reply.body).encode()


def actuator_on(objects: Objects, environments: Mapping[str, Any]) -> KubernetesActuator:
    """The actuator as it is, on these objects by whatever context."""
    actuator = KubernetesActuator(ActSettings.model_validate({"environments": environments}))
    link = Link(objects)
    actuator._clusters._at = lambda binding: link  # type: ignore[method-assign,assignment]
    return actuator
