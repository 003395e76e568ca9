"""Pods that somebody deletes although their controller wants them. Nobody says so: it shows in that nothing else explains it. Pure.

What explains it, may be known a little later, for kinds come on separate streams: so a pod that begins to go is only a suspect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from connectors.kubernetes.object_index import OVER, ObjectIndex
from connectors.kubernetes.objects import ObjectKind, Pod, Thing, Workload
from contracts.units import MILLISECOND, SECOND

_SUSPECT_NS: Final = 700 * MILLISECOND
"""That a ReplicaSet shrank may be known this much later than that its pod goes."""
_SHRUNK_NS: Final = 10 * SECOND
_ROLLOUT_NS: Final = 600 * SECOND
_PATIENCE_NS: Final = 120 * SECOND
"""A replacement is waited for this long, where it alone shows that the pod was still wanted."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A pod that was wanted; `replaced_ns` is when its replacement was made, 0 while there is none."""

    pod: Pod
    replaced_ns: int


@dataclass(frozen=True, slots=True)
class _Suspect:
    at_ns: int
    pod: Pod
    siblings: frozenset[str]


class Deletions:
    """Suspects, and what speaks for them. `known` is kept by somebody else, who takes an object up before it tells of it.

    What is only known from an earlier time explains nothing: its word is waited for.
    """

    def __init__(self, known: ObjectIndex) -> None:
        self._known, self._things = known, known.things
        self._suspects: list[_Suspect] = []
        self._shrunk_ns: dict[str, int] = {}
        self._rolled_ns: dict[str, int] = {}

    def take(self, before: Thing | None, now: Thing | None, last: Thing, now_ns: int) -> None:
        """An object appeared, changed, or is gone; `last` is the last that was seen of it."""
        if isinstance(before, Pod) and isinstance(last, Pod):
            self._pod(before, now is None, last, now_ns)
        elif isinstance(before, Workload):
            self._workload(before, now if isinstance(now, Workload) else None, now_ns)

    def tick(self, now_ns: int) -> list[Deleted]:
        """Let time pass: those whose deletion nothing has explained by now."""
        found, waiting = [], []
        for suspect in self._suspects:
            if suspect.at_ns + _SUSPECT_NS > now_ns:
                waiting.append(suspect)
                continue
            if not self._wanted(suspect):
                continue
            replaced_ns = self._replaced_ns(suspect)
            if replaced_ns or (self._is_watched(suspect.pod) and self._known.stays(suspect.pod.head.namespace)):
                found.append(Deleted(suspect.pod, replaced_ns))
            elif now_ns - suspect.at_ns < _PATIENCE_NS:
                waiting.append(suspect)
        self._suspects = waiting
        return found

    def _pod(self, before: Pod, gone: bool, last: Pod, now_ns: int) -> None:
        """Note a pod that begins to go. One that is known to go already was noted then."""
        if before.leaving_ns or before.phase in OVER or not (gone or last.leaving_ns) or before.head.owner is None:
            return
        siblings = frozenset(p.head.uid for p in self._siblings(before))
        self._suspects.append(_Suspect(now_ns, last, siblings))

    def _workload(self, before: Workload, now: Workload | None, now_ns: int) -> None:
        uid = before.head.uid
        if now is None:
            self._shrunk_ns.pop(uid, None)
            self._rolled_ns.pop(uid, None)
            return
        if now.replicas < before.replicas:
            self._shrunk_ns[uid] = now_ns
        if now.template != before.template:
            self._rolled_ns[uid] = now_ns

    # --- what explains it

    def _wanted(self, suspect: _Suspect) -> bool:
        pod, at_ns = suspect.pod, suspect.at_ns
        if pod.evicted.reason or pod.head.owner is None:
            return False
        owner = self._things.get(pod.head.owner.uid)
        if not isinstance(owner, Workload):
            return pod.lasting and not pod.head.owner.watched
        uid, kind = owner.head.uid, owner.head.kind
        if at_ns - self._shrunk_ns.get(uid, -_SHRUNK_NS) < _SHRUNK_NS:
            return False
        if kind is ObjectKind.DAEMON_SET and at_ns - self._rolled_ns.get(uid, -_ROLLOUT_NS) < _ROLLOUT_NS:
            return False
        if kind is ObjectKind.STATEFUL_SET and pod.revision != owner.revision:
            return False
        top = self._things.get(owner.head.owner.uid) if owner.head.owner else owner
        return not (isinstance(top, Workload) and top.last_pod == pod.head.uid)

    def _is_watched(self, pod: Pod) -> bool:
        """Whether its controller's own word is known, and of now."""
        owner = pod.head.owner
        return owner is not None and owner.uid in self._things and owner.uid not in self._known.unseen

    def _replaced_ns(self, suspect: _Suspect) -> int:
        owner = suspect.pod.head.owner
        if owner is None or owner.uid in self._known.unseen:
            return 0
        new = [
            p.head.created_ns
            for p in self._siblings(suspect.pod)
            if p.head.uid not in suspect.siblings
            and p.head.uid != suspect.pod.head.uid
            and (p.images == suspect.pod.images or self._is_watched(suspect.pod))
        ]
        return min(new, default=0)

    def _siblings(self, of: Pod) -> list[Pod]:
        """Pods of the same controller that may stay."""
        owned = self._known.owned(of.head.owner.uid) if of.head.owner else []
        return [p for p in owned if isinstance(p, Pod) and not p.leaving_ns]
