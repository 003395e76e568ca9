"""Revisions of a workload: what it ran before. Pure.

A Deployment (and a Rollout of Argo) keeps them as ReplicaSets, a StatefulSet and a DaemonSet as ControllerRevisions
(https://kubernetes.io/docs/concepts/workloads/controllers/, `kubectl rollout history` reads the same).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from connectors.actuators.kubernetes.workload import Json, image_version, marks_of, owned, template_of
from contracts.targets import RELEASE_MARK

_NUMBERS: Final = ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision")
RESTARTED_AT: Final = "homeostat.io/restartedAt"
RESTARTED_BY: Final = "homeostat.io/restarted-by"
#: What a restart leaves in a template. A template that differs in these only is the same release.
_RESTARTS: Final = (RESTARTED_AT, RESTARTED_BY, "kubectl.kubernetes.io/restartedAt")
_POD_HASHES: Final = ("pod-template-hash", "rollouts-pod-template-hash")


@dataclass(frozen=True, slots=True)
class Revision:
    """One of them: its pod template, as the workload would have it."""

    number: int
    name: str
    template: Json

    @property
    def version(self) -> str:
        """Tag of its first container's image."""
        return image_version(self.template)

    @property
    def mark(self) -> str:
        """What tells it from others of the same version: the hash of its template, with which its controller names it."""
        return self.name.rpartition("-")[2]


@dataclass(frozen=True, slots=True)
class RevisionHistory:
    """What the workload runs now, and its other releases, newest first."""

    now: Revision
    earlier: tuple[Revision, ...]

    def find(self, version: str) -> Revision | None:
        """The newest earlier one of that version (or, of those of one version, the one that is meant); without one, the newest that is another
        release than the present one."""
        tag, _, mark = version.partition(RELEASE_MARK)
        others = (r for r in self.earlier if _release(r.template) != _release(self.now.template))
        return next((r for r in others if tag in ("", r.version) and mark in ("", r.mark)), None)

    @property
    def previous_version(self) -> str:
        """The release before this one, by its version; with its mark where the present one has the same (a setting or a limit was changed).
        Empty if there was never another."""
        before = self.find("")
        if before is None:
            return ""
        return before.version if before.version != self.now.version else f"{before.version}{RELEASE_MARK}{before.mark}"


def history_of(workload: Json, kept: Iterable[Json]) -> RevisionHistory:
    """From its ReplicaSets or ControllerRevisions."""
    if workload["kind"] in ("Deployment", "Rollout"):
        found = [_of_replica_set(s) for s in owned(kept, workload)]
        number = _number(workload)
    else:
        found = [_of_controller_revision(c) for c in owned(kept, workload)]
        # Going back renumbers the old one, so the newest number is what is wanted now.
        number = max((r.number for r in found), default=0)
    same = next((r for r in found if r.number == number), None)
    template = template_of(workload) or (same.template if same else {})
    now = Revision(number, same.name if same else "", template)
    earlier = sorted((r for r in found if r.number != number), key=lambda r: r.number, reverse=True)
    return RevisionHistory(now, tuple(earlier))


def _of_replica_set(replica_set: Json) -> Revision:
    template = copy.deepcopy(dict(replica_set["spec"]["template"]))
    for key in _POD_HASHES:
        template.get("metadata", {}).get("labels", {}).pop(key, None)
    return Revision(_number(replica_set), replica_set["metadata"]["name"], template)


def _number(thing: Json) -> int:
    marks = marks_of(thing)
    return next((int(marks[key]) for key in _NUMBERS if key in marks), 0)


def _of_controller_revision(kept: Json) -> Revision:
    # Its data is a patch of the workload; "$patch: replace" says that it is the whole template.
    template = {k: v for k, v in kept["data"]["spec"]["template"].items() if k != "$patch"}
    return Revision(int(kept["revision"]), kept["metadata"]["name"], template)


def _release(template: Json) -> dict[str, Any]:
    """A template without what restarts and the API server's printing add."""
    plain = copy.deepcopy(dict(template))
    metadata = plain.get("metadata", {})
    metadata.pop("creationTimestamp", None)
    marks = {k: v for k, v in (metadata.pop("annotations", None) or {}).items() if k not in _RESTARTS}
    return {**plain, "metadata": {**metadata, "annotations": marks}}
