"""What is sent to the API server. Pure.

Every change carries the uid and resourceVersion that were read, so that a change by somebody else meanwhile is a 409 and not
undone; and the idempotency key as an annotation, in the same request as the effect, so that it is there exactly if the effect is.
Beside it is who acts (`by`, the text of a `Mark`), for other installations to read.

Server-side apply removes what its manager applied before and now leaves out: so each body repeats what is ours already.
Going back to a revision must remove what that one did not have, which applying can't: it is a JSON patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connectors.actuators.kubernetes import autoscaler as hpa
from connectors.actuators.kubernetes.autoscaler import OWN_MINIMUM, Bounds
from connectors.actuators.kubernetes.ownership import REPLICAS, RESTART_AT, applied_by_us
from connectors.actuators.kubernetes.revisions import RESTARTED_AT, RESTARTED_BY, Revision
from connectors.actuators.kubernetes.workload import ACTED_BY, LAST_ACTION, LAST_POD, Json, marks_of, template_of

Body = dict[str, Any]
_OURS_IN_TEMPLATE: Final = (RESTARTED_AT, RESTARTED_BY)


def scale(workload: Json, key: str, replicas: int, by: str = "") -> Body:
    """Apply: so many replicas."""
    body = _ours(workload, _marks(key, by))
    return {**body, "spec": {**body.get("spec", {}), "replicas": replicas}}


def restart(workload: Json, key: str, now: str, by: str = "") -> Body:
    """Apply: new annotations in the template, which the controller rolls out as for `kubectl rollout restart`.

    A Rollout of Argo has a field for it, and makes no new release of it.
    """
    if workload["kind"] == "Rollout":
        body = _ours(workload, _marks(key, by))
        return {**body, "spec": {**body.get("spec", {}), "restartAt": now}}
    return _ours(workload, _marks(key, by), {RESTARTED_AT: now, RESTARTED_BY: key})


def announce(workload: Json, key: str, pod: Json, by: str = "") -> Body:
    """Apply, before a pod is evicted: which one the key is about. It has no effect of its own."""
    return _ours(workload, {**_marks(key, by), LAST_POD: pod["metadata"]["uid"]})


def rollback(workload: Json, key: str, to: Revision, by: str = "") -> list[Body]:
    """JSON patch: the template of an earlier revision, whole."""
    metadata = workload["metadata"]
    return [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "replace", "path": "/spec/template", "value": to.template},
        {"op": "add", "path": "/metadata/annotations", "value": {**marks_of(workload), **_marks(key, by)}},
    ]


def bound(autoscaler: Json, key: str, bounds: Bounds, by: str = "") -> Body:
    """Apply: bounds of a HorizontalPodAutoscaler."""
    own = {} if bounds.own_least is None else {OWN_MINIMUM: str(bounds.own_least)}
    raised = hpa.bounds_of(autoscaler).most != bounds.most or applied_by_us(autoscaler, ("spec", "maxReplicas"))
    body = _identity(autoscaler)
    body["metadata"]["annotations"] = _marks(key, by) | own
    return body | {"spec": hpa.spec_of(bounds, with_most=raised)}


def eviction(pod: Json) -> Body:
    """What is posted to a pod's `eviction`: exactly this pod, and only if disruption budgets allow it."""
    metadata = pod["metadata"]
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        "deleteOptions": {"preconditions": {"uid": metadata["uid"]}},
    }


def _marks(key: str, by: str) -> dict[str, str]:
    return {LAST_ACTION: key} | ({ACTED_BY: by} if by else {})


def _identity(thing: Json) -> Body:
    metadata = {k: thing["metadata"][k] for k in ("name", "namespace", "uid", "resourceVersion")}
    return {"apiVersion": thing["apiVersion"], "kind": thing["kind"], "metadata": metadata}


def _ours(workload: Json, marks: Mapping[str, str], in_template: Mapping[str, str] | None = None) -> Body:
    """All that is ours of a workload, with new marks."""
    body, before = _identity(workload), marks_of(workload)
    body["metadata"]["annotations"] = {k: before[k] for k in (LAST_ACTION, LAST_POD, ACTED_BY) if k in before} | dict(
        marks
    )
    spec: Body = {}
    if applied_by_us(workload, REPLICAS):
        spec["replicas"] = workload["spec"].get("replicas", 1)
    there = template_of(workload).get("metadata", {}).get("annotations") or {}
    kept = {k: there[k] for k in _OURS_IN_TEMPLATE if k in there} | dict(in_template or {})
    if workload["kind"] == "Rollout" and applied_by_us(workload, RESTART_AT):
        spec["restartAt"] = workload["spec"].get("restartAt")
    if kept:
        spec["template"] = {"metadata": {"annotations": kept}}
    return body | ({"spec": spec} if spec else {})
