"""Releases by controllers that aren't watched themselves, told from what they make: ReplicaSets (Argo Rollouts) and pods (operators).

Such a controller has a ReplicaSet for each release, as a Deployment has, or a Deployment (Knative), or makes pods itself. So a ReplicaSet with another template
beside an earlier one, one that is used again, and a pod with another tag than the last one of the same controller are a release.
Custom resources need not be read for it. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeVar

from connectors.kubernetes.diff import DiffContext, release_changes
from connectors.kubernetes.object_index import ObjectIndex
from connectors.kubernetes.objects import ObjectKind, Pod, Thing, Workload
from connectors.kubernetes.template import name_of
from contracts.events import Change
from contracts.units import MILLISECOND

K = TypeVar("K")
V = TypeVar("V")
_WAIT_NS: Final = 700 * MILLISECOND
"""A list comes in no order: which ReplicaSet was before a new one may be known this much later."""
_KEPT: Final = 5_000
"""Controllers and kinds of pods whose last release is remembered."""


class Releases:
    """What was released last by each controller. `known` is kept by somebody else."""

    def __init__(self, known: ObjectIndex) -> None:
        self._known = known
        self._due: dict[str, int] = {}
        self._current: OrderedDict[str, str] = OrderedDict()
        self._lines: OrderedDict[tuple[str, ...], Pod] = OrderedDict()
        for thing in known.things.values():
            if isinstance(thing, Pod) and _tells(thing):
                line = _line(thing)
                if line not in self._lines or self._lines[line].head.created_ns < thing.head.created_ns:
                    _keep(self._lines, line, thing)

    def take(self, before: Thing | None, now: Thing | None, context: DiffContext) -> list[Change]:
        """An object appeared or changed; `known` holds it as it is now."""
        if isinstance(now, Workload) and now.head.kind is ObjectKind.REPLICA_SET and _foreign(now):
            return self._replica_set(before if isinstance(before, Workload) else None, now, context)
        if isinstance(now, Pod) and _tells(now):
            return self._pod(before if isinstance(before, Pod) else None, now, context)
        if before is None and isinstance(now, Workload) and _is_revision(now):
            return self._revision(now, context)
        return []

    def tick(self, context: DiffContext) -> list[Change]:
        """Let time pass: what was before the new ReplicaSets is known by now."""
        due = [uid for uid, at_ns in self._due.items() if at_ns <= context.now_ns]
        found: list[Change] = []
        for owner in due:
            del self._due[owner]
            sets = sorted(self._sets(owner), key=_order)
            if sets:
                newest, earlier = sets[-1], self._serving(sets[:-1])
                found += self._tell(earlier, newest, context, newest.head.created_ns)
        return found

    # --- ReplicaSets

    def _replica_set(self, before: Workload | None, now: Workload, context: DiffContext) -> list[Change]:
        assert now.head.owner is not None
        uid = now.head.owner.uid
        if before is not None and (before.replicas, before.revision) == (now.replicas, now.revision):
            return []
        others = [w for w in self._sets(uid) if w.head.uid != now.head.uid]
        last, serving = self._known.things.get(self._current.get(uid, "")), [w for w in others if w.replicas]
        if before is None:
            known = last if isinstance(last, Workload) else serving[0] if len(serving) == 1 else None
            if known is None or _order(known) > _order(now):
                self._due.setdefault(uid, context.now_ns + _WAIT_NS)
                return []
            return self._tell(known, now, context, now.head.created_ns)
        newest = all(_order(w) < _order(now) for w in others)
        begins = bool(now.replicas and not before.replicas)
        again = 0 < _number(before) < _number(now) or (begins and (newest or not _number(now)))
        if again and serving:
            known = last if isinstance(last, Workload) else self._serving(others)
            return self._tell(known, now, context, now.writer.time_ns, back=_order(before) < _order(known or now))
        if newest and before.replicas and not now.replicas and serving:  # given up: an earlier one stays
            return self._tell(now, max(serving, key=_order), context, now.writer.time_ns, back=True)
        return []

    def _tell(
        self, old: Workload | None, new: Workload, context: DiffContext, time_ns: int, *, back: bool = False
    ) -> list[Change]:
        assert new.head.owner is not None
        uid = new.head.owner.uid
        if self._current.get(uid) == new.head.uid:
            return []
        _keep(self._current, uid, new.head.uid)
        return release_changes(old, new, context, time_ns, back=back)

    def _sets(self, owner: str) -> list[Workload]:
        return [
            t for t in self._known.owned(owner) if isinstance(t, Workload) and t.head.kind is ObjectKind.REPLICA_SET
        ]

    @staticmethod
    def _serving(sets: Sequence[Workload]) -> Workload | None:
        """The newest that has pods, else the newest."""
        return max(sets, key=lambda w: (w.replicas > 0, _order(w)), default=None)

    # --- a Deployment for each release (Knative)

    def _revision(self, now: Workload, context: DiffContext) -> list[Change]:
        earlier = [
            t
            for t in self._known.things.values()
            if isinstance(t, Workload)
            and _is_revision(t)
            and (t.head.namespace, t.service) == (now.head.namespace, now.service)
            and t.head.created_ns < now.head.created_ns
        ]
        last = max(earlier, key=lambda w: w.head.created_ns, default=None)
        return [] if last is None else release_changes(last, now, context, now.head.created_ns)

    # --- pods

    def _pod(self, before: Pod | None, now: Pod, context: DiffContext) -> list[Change]:
        if before is not None and before.images == now.images:
            return []
        line = _line(now)
        last = self._lines.get(line)
        if before is None and last is not None and now.head.created_ns < last.head.created_ns:
            return []
        _keep(self._lines, line, now)
        if last is None or last.images == now.images:
            return []
        return release_changes(last, now, context, now.head.created_ns if before is None else 0)


def _foreign(thing: Thing) -> bool:
    """Whether it belongs to a controller that isn't watched."""
    return thing.head.owner is not None and not thing.head.owner.watched


def _is_revision(workload: Workload) -> bool:
    """Whether it is made for one release."""
    owner = workload.head.owner
    return owner is not None and (owner.kind, owner.group) == ("Revision", "serving.knative.dev")


def _tells(pod: Pod) -> bool:
    """Whether a release may show in it: it is made to stay, by a controller that isn't watched."""
    return pod.lasting and not pod.leaving_ns and bool(pod.images) and _foreign(pod)


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _KEPT:
        kept.popitem(last=False)


def _order(workload: Workload) -> tuple[int, int, str]:
    """By the number that its controller gives it, else by age."""
    head = workload.head
    return _number(workload), head.created_ns, head.version.zfill(20)


def _number(workload: Workload) -> int:
    return int(workload.revision) if workload.revision.isdecimal() else 0


def _line(pod: Pod) -> tuple[str, ...]:
    """Pods of one controller and of one kind: it may have others, with other images."""
    owner = pod.head.owner
    assert owner is not None
    per_release = owner.kind == "ReplicationController"  # there is one for each
    whose = f"{pod.head.namespace}/{pod.service}" if per_release else owner.uid
    return (whose, *(name_of(image) for image in pod.images))
