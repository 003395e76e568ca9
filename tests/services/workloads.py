"""Objects to put into a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.services.kubelet.api import Api, ApiError

Json = dict[str, Any]
RBAC = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes" / "base" / "rbac.yaml"
ACTUATOR_ROLE = "homeostat-actuator"
CLUSTER_ROLE = "homeostat-cluster"
APPS = "/apis/apps/v1"
PATIENCE_S = 60.0
_RBAC_API = "/apis/rbac.authorization.k8s.io/v1"


def template(name: str, image: str, **container: Any) -> Json:
    """A pod template with one container."""
    one = {"name": name, "image": image, **container}
    return {"metadata": {"labels": {"app": name}}, "spec": {"containers": [one], "terminationGracePeriodSeconds": 2}}


def workload(kind: str, name: str, image: str, *, replicas: int | None = 2, **container: Any) -> Json:
    """A Deployment, StatefulSet or DaemonSet."""
    spec: Json = {"selector": {"matchLabels": {"app": name}}, "template": template(name, image, **container)}
    if kind != "DaemonSet":
        spec["replicas"] = replicas
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def autoscaler(name: str, least: int, most: int) -> Json:
    """A HorizontalPodAutoscaler of the Deployment of that name; its metric is never there, so only its bounds count."""
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": [metric],
        },
    }


def disruption_budget(name: str, **limits: int | str) -> Json:
    """A PodDisruptionBudget over an app: `minAvailable` or `maxUnavailable`, and what else its spec may say."""
    spec = {"selector": {"matchLabels": {"app": name}}, **limits}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec}


async def namespace(api: Api, name: str) -> None:
    """A namespace, with the service account that its pods need."""
    await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    await until(lambda: exists(api, f"/api/v1/namespaces/{name}/serviceaccounts/default"), "the service account")


async def let_act(api: Api, name: str, user: str = "homeostat") -> None:
    """Bind exactly the deployed actuator's role, for a user, in one namespace; and that it may know which cluster it is in."""
    for role in (ACTUATOR_ROLE, CLUSTER_ROLE):
        await _once(api, "clusterroles", _role(role))
    everywhere = binding("ClusterRole", CLUSTER_ROLE, user)
    everywhere["metadata"]["name"] = f"{CLUSTER_ROLE}-{user}"
    await _once(api, "clusterrolebindings", everywhere)
    await api.create(f"{_RBAC_API}/namespaces/{name}/rolebindings", binding("ClusterRole", ACTUATOR_ROLE, user))


async def _once(api: Api, kind: str, thing: Json) -> None:
    try:
        await api.create(f"{_RBAC_API}/{kind}", thing)
    except ApiError as e:
        if e.status != 409:  # made for another namespace already
            raise


def binding(kind: str, role: str, user: str = "homeostat") -> Json:
    """A RoleBinding of a Role or ClusterRole, called like it."""
    return {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    }


def actuator_rules() -> list[Json]:
    """The rules that are deployed."""
    return list(_role(ACTUATOR_ROLE)["rules"])


def _role(name: str) -> Json:
    documents = [d for d in yaml.safe_load_all(RBAC.read_text()) if d]
    (role,) = (d for d in documents if d["metadata"]["name"] == name)
    return dict(role)


async def exists(api: Api, path: str) -> bool:
    """Whether there is something at a path."""
    try:
        await api.get(path)
    except ApiError as e:
        if e.status == 404:
            return False
        raise
    return True


async def rolled_out(api: Api, path: str) -> None:
    """Wait until a workload's newest spec is what runs, all of it ready."""

    async def done() -> bool:
        thing = await api.get(path)
        spec, status = thing["spec"], thing.get("status", {})
        wanted = status.get("desiredNumberScheduled", spec.get("replicas", 1))
        ready = status.get("numberReady", status.get("readyReplicas", 0))
        total = status.get("currentNumberScheduled", status.get("replicas", 0))
        updated = status.get("updatedNumberScheduled", status.get("updatedReplicas", 0))
        seen = status.get("observedGeneration", 0) >= thing["metadata"]["generation"]
        return bool(seen and wanted and (ready, total, updated) == (wanted, wanted, wanted))

    await until(done, f"the rollout of {path}")


async def until(condition: Callable[[], Awaitable[bool]], what: str, within_s: float = PATIENCE_S) -> None:
    """Poll until it holds; AssertionError with `what` if it doesn't in time."""
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline, f"waited {within_s:g} s for {what}"
        await asyncio.sleep(0.1)


def touched_by(things: Sequence[Json], manager: str) -> set[tuple[str, str]]:
    """Kind and name of what a field manager has changed."""
    return {
        (t["kind"], t["metadata"]["name"])
        for t in things
        if any(e.get("manager") == manager for e in t["metadata"].get("managedFields") or ())
    }


def marks_of(thing: Json) -> Mapping[str, str]:
    """Its annotations."""
    return thing["metadata"].get("annotations") or {}
