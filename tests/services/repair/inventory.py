"""What is in the cluster, so that what changed between two moments is known."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.services.kubelet import Api

Thing = tuple[str, str]
"""Kind and name."""
KINDS: Final = {
    "/api/v1": ("pods", "services", "configmaps", "secrets", "serviceaccounts", "nodes", "namespaces"),
    "/apis/apps/v1": ("deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions"),
    "/apis/autoscaling/v2": ("horizontalpodautoscalers",),
    "/apis/policy/v1": ("poddisruptionbudgets",),
    "/apis/rbac.authorization.k8s.io/v1": ("roles", "rolebindings", "clusterroles", "clusterrolebindings"),
}
"""Everything but heartbeats (leases), notices (events) and what follows from pods (endpoints)."""


async def inventory(api: Api) -> dict[Thing, str]:
    """Each object's fingerprint: all of it but its status and what a write of that changes.

    A container that ended by itself and was started again is status: no write to the API makes one do so.
    """
    found: dict[Thing, str] = {}
    for group, kinds in KINDS.items():
        for kind in kinds:
            for thing in await api.items(f"{group}/{kind}"):
                place = f"{thing['metadata'].get('namespace', '')}/{thing['metadata']['name']}"
                found[kind, place] = _fingerprint(thing)
    return found


def changed(before: dict[Thing, str], after: dict[Thing, str]) -> set[Thing]:
    """What was added, removed or is another."""
    return {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}


def difference(before: dict[Thing, str], after: dict[Thing, str], thing: Thing) -> str:
    """What of a thing is another, for a message."""
    if thing not in before or thing not in after:
        return "was added" if thing in after else "was removed"
    old, new = json.loads(before[thing]), json.loads(after[thing])
    return ", ".join(
        f"{k}: {old.get(k)} -> {new.get(k)}" for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k)
    )


async def acted_on(api: Api, manager: str = "homeostat") -> set[Thing]:
    """What has fields written by a field manager."""
    return {k for k, text in (await inventory(api)).items() if manager in json.loads(text)["managers"]}


def _fingerprint(thing: dict[str, Any]) -> str:
    metadata = dict(thing["metadata"])
    metadata.pop("resourceVersion")
    entries = [e for e in metadata.pop("managedFields", ()) if e.get("subresource") != "status"]
    rest = {k: v for k, v in thing.items() if k not in {"metadata", "status"}}
    managers = sorted({e["manager"] for e in entries})
    return json.dumps({"metadata": metadata, "managers": managers, **rest}, sort_keys=True)
