"""What a kubelet says of a pod and of its node. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]


def moment(seconds: float, *, micro: bool = False) -> str:
    """RFC 3339, as the API server wants it."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds" if micro else "seconds")
    return text.replace("+00:00", "Z")


def node(name: str) -> Json:
    """A Node to register."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
    }


def node_status(now: float) -> Json:
    """A node that is ready, with room for a hundred pods."""
    room = {"cpu": "64", "memory": "64Gi", "pods": "110"}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "processes can be run",
        "lastHeartbeatTime": moment(now),
        "lastTransitionTime": moment(now),
    }
    addresses = [{"type": "InternalIP", "address": "127.0.0.1"}]
    return {"status": {"capacity": room, "allocatable": room, "conditions": [ready], "addresses": addresses}}


def lease(name: str, now: float) -> Json:
    """The heartbeat that the node lifecycle controller looks for."""
    spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": moment(now, micro=True)}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": spec,
    }


def pod_status(pod: Json, *, ready: bool, restarts: int, started: float, exit_code: int | None, now: float) -> Json:
    """A pod's status: one container that runs, or waits to be started again."""
    spec, uid = pod["spec"]["containers"][0], pod["metadata"]["uid"]
    state: Json = {"running": {"startedAt": moment(started)}}
    if exit_code is not None:
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": f"the process ended with status {exit_code}"}}
    container = {
        "name": spec["name"],
        "image": spec["image"],
        "imageID": spec["image"],
        "containerID": f"process://{uid}/{restarts}",
        "ready": ready,
        "started": exit_code is None,
        "restartCount": restarts,
        "state": state,
    }
    flags = {
        "PodReadyToStartContainers": True,
        "Initialized": True,
        "ContainersReady": ready,
        "Ready": ready,
        "PodScheduled": True,
    }
    return {
        "phase": "Running",
        "hostIP": "127.0.0.1",
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "startTime": moment(started),
        "conditions": [_condition(k, on, now) for k, on in flags.items()],
        "containerStatuses": [container],
    }


def _condition(kind: str, on: bool, now: float) -> Json:
    return {"type": kind, "status": "True" if on else "False", "lastTransitionTime": moment(now)}
