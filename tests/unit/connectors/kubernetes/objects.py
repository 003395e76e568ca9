"""Objects as an API server writes them."""

from __future__ import annotations

import copy
from typing import Any

from contracts.units import SECOND

Json = dict[str, Any]
T0 = 1_767_225_600
"""2026-01-01T00:00:00Z, epoch seconds."""


def stamp(seconds: float) -> str:
    """RFC 3339, this many seconds after T0 (within the first hour)."""
    whole = int(seconds)
    return f"2026-01-01T00:{whole // 60:02}:{whole % 60:02}Z"


def ns(seconds: float) -> int:
    """The same time in epoch nanoseconds."""
    return (T0 + int(seconds)) * SECOND


def meta(kind: str, name: str, version: int = 1, *, namespace: str = "shop", **more: Any) -> Json:
    return {
        "name": name,
        "uid": f"{kind}-{namespace}-{name}",
        "resourceVersion": str(version),
        "creationTimestamp": stamp(0),
        **({"namespace": namespace} if namespace else {}),
        **more,
    }


def owner(kind: str, name: str, namespace: str = "shop") -> list[Json]:
    return [{"kind": kind, "name": name, "uid": f"{kind}-{namespace}-{name}", "controller": True}]


def managed(manager: str, seconds: float, subresource: str = "") -> Json:
    found = {"manager": manager, "operation": "Update", "time": stamp(seconds), "fieldsV1": {"f:spec": {}}}
    return found | ({"subresource": subresource} if subresource else {})


def template(image: str = "registry/cart:1.4", labels: Json | None = None, **container: Any) -> Json:
    return {
        "metadata": {"creationTimestamp": None, "labels": labels or {"app": "cart"}},
        "spec": {"containers": [{"name": "main", "image": image, **container}]},
    }


def deployment(name: str = "cart", version: int = 1, *, replicas: int = 2, **more: Any) -> Json:
    managed_fields = more.pop("managed", [managed("helm", 0)])
    found = {
        "kind": "Deployment",
        "metadata": meta("Deployment", name, version, managedFields=managed_fields),
        "spec": {"replicas": replicas, "template": more.pop("template", None) or template(labels={"app": name})},
        "status": {"readyReplicas": replicas},
    }
    assert not more
    return found


def replica_set(name: str = "cart-7d9f", version: int = 1, *, of: str = "cart", replicas: int = 2, **more: Any) -> Json:
    pod_template = copy.deepcopy(more.pop("template", None) or template(labels={"app": of}))
    pod_template["metadata"]["labels"]["pod-template-hash"] = name.rpartition("-")[2]
    return {
        "kind": "ReplicaSet",
        "metadata": meta("ReplicaSet", name, version, ownerReferences=owner("Deployment", of), **more),
        "spec": {"replicas": replicas, "template": pod_template},
    }


def pod(name: str = "cart-7d9f-x2x", version: int = 1, *, of: str = "cart-7d9f", node: str = "n1", **more: Any) -> Json:
    labels = {"app": of.rpartition("-")[0], "pod-template-hash": of.rpartition("-")[2]}
    conditions = more.pop("conditions", [{"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(1)}])
    status = {"phase": more.pop("phase", "Running"), "conditions": conditions}
    status["containerStatuses"] = more.pop("containers", [container()])
    head = meta("Pod", name, version, labels=labels, ownerReferences=owner("ReplicaSet", of), **more)
    return {
        "kind": "Pod",
        "metadata": head,
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "registry/cart:1.4"}]},
        "status": status,
    }


def container(name: str = "main", *, restarts: int = 0, state: Json | None = None, last: Json | None = None) -> Json:
    running = {"running": {"startedAt": stamp(2)}}
    return {"name": name, "restartCount": restarts, "state": state or running, "lastState": last or {}}


def ended(reason: str, seconds: float, code: int = 1) -> Json:
    return {"terminated": {"reason": reason, "exitCode": code, "finishedAt": stamp(seconds)}}


def node(name: str = "n1", version: int = 1, *, cordoned: bool = False, **conditions: tuple[str, float]) -> Json:
    found = {"Ready": ("True", 0.0), "MemoryPressure": ("False", 0.0), **conditions}
    return {
        "kind": "Node",
        "metadata": meta("Node", name, version, namespace=""),
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {
            "conditions": [
                {"type": t, "status": s, "reason": f"Kubelet{t}", "message": "", "lastTransitionTime": stamp(at)}
                for t, (s, at) in found.items()
            ]
        },
    }


def autoscaler(version: int = 1, *, low: int = 1, high: int = 5, limited: bool = False, by: str = "kubectl") -> Json:
    said = {"type": "ScalingLimited", "status": "True" if limited else "False", "lastTransitionTime": stamp(30)}
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": meta("HorizontalPodAutoscaler", "cart", version, managedFields=[managed(by, 20)]),
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "cart"}, "minReplicas": low, "maxReplicas": high},
        "status": {"conditions": [{**said, "reason": "TooManyReplicas" if limited else "DesiredWithinRange"}]},
    }


def notice(version: int = 1, *, reason: str = "Unhealthy", last: float = 10, about: Json | None = None) -> Json:
    of = about or pod()
    return {
        "kind": "Event",
        "metadata": meta("Event", f"warning-{reason}", version),
        "involvedObject": {"kind": of["kind"], "name": of["metadata"]["name"], "uid": of["metadata"]["uid"]},
        "reason": reason,
        "message": "Readiness probe failed: HTTP probe failed with statuscode: 503",
        "type": "Warning",
        "firstTimestamp": stamp(10),
        "lastTimestamp": stamp(last),
    }


def service(name: str = "cart", version: int = 1, *, namespace: str = "shop", ip: str = "", **more: Any) -> Json:
    """A Service with a ClusterIP; without one it is headless."""
    made = stamp(more.pop("made", 0))
    spec = {"type": "ClusterIP", "clusterIP": ip or "None", "clusterIPs": [ip or "None"], "selector": {"app": name}}
    return {
        "kind": "Service",
        "metadata": {**meta("Service", name, version, namespace=namespace), "creationTimestamp": made},
        "spec": {**spec, **more.pop("spec", {})},
        "status": {"loadBalancer": more.pop("balancer", {})},
    }


def endpoints(of: str = "cart", version: int = 1, *, pods: list[Json] | None = None, **more: Any) -> Json:
    """A slice of what is behind a Service: pods, or mere addresses."""
    namespace, part = more.pop("namespace", "shop"), more.pop("part", "a1b2c")
    found = [
        {
            "addresses": [pod["status"].get("podIP", "10.9.9.9")],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "namespace": namespace, **{k: pod["metadata"][k] for k in ("name", "uid")}},
        }
        for pod in pods or ()
    ]
    found += [{"addresses": [address]} for address in more.pop("addresses", ())]
    owned = {"ownerReferences": owner("Service", of, namespace), "labels": {"kubernetes.io/service-name": of}}
    return {
        "kind": "EndpointSlice",
        "metadata": meta("EndpointSlice", f"{of}-{part}", version, namespace=namespace, **owned),
        "addressType": "IPv4",
        "endpoints": found or None,
    }
