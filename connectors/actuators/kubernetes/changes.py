"""What is sent to the API server: patches. Pure.

Every patch carries the resourceVersion that was read, so that a change by somebody else meanwhile is a 409 and not undone;
and the idempotency key as an annotation, in the same patch as the effect, so that it is there exactly if the effect is.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from connectors.actuators.kubernetes.workload import LAST_ACTION, LAST_POD, Json, marks_of

RESTARTED_AT: Final = "homeostat.io/restartedAt"
RESTARTED_BY: Final = "homeostat.io/restarted-by"
_POD_HASH: Final = "pod-template-hash"
Patch = dict[str, Any]


def scale(workload: Json, key: str, replicas: int) -> Patch:
    """Merge patch: so many replicas."""
    return _marked(workload, key) | {"spec": {"replicas": replicas}}


def restart(workload: Json, key: str, now: str) -> Patch:
    """Merge patch: the same template with new annotations, which the controller rolls out as `kubectl rollout restart` does."""
    about = {"metadata": {"annotations": {RESTARTED_AT: now, RESTARTED_BY: key}}}
    return _marked(workload, key) | {"spec": {"template": about}}


def announce(workload: Json, key: str, pod: Json) -> Patch:
    """Merge patch before a pod is deleted: which one the key is about. It has no effect of its own."""
    return _marked(workload, key, {LAST_POD: pod["metadata"]["uid"]})


def rollback(workload: Json, key: str, replica_set: Json) -> list[Patch]:
    """JSON patch: the template of an earlier revision, whole (`replace`, not merged), without what the controller added."""
    template = copy.deepcopy(dict(replica_set["spec"]["template"]))
    template.get("metadata", {}).get("labels", {}).pop(_POD_HASH, None)
    marks = {**marks_of(workload), LAST_ACTION: key}
    return [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": workload["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "add", "path": "/metadata/annotations", "value": marks},
    ]


def _marked(workload: Json, key: str, more: Mapping[str, str] | None = None) -> Patch:
    marks = {LAST_ACTION: key, **(more or {})}
    return {"metadata": {"resourceVersion": workload["metadata"]["resourceVersion"], "annotations": marks}}
