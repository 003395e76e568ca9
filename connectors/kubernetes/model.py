"""A cluster as it is known: takes what the informers tell, says what changed and what the graph is to be told. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from connectors.kubernetes import diff
from connectors.kubernetes.deletions import Deletions
from connectors.kubernetes.diff import DiffContext
from connectors.kubernetes.joining import Joins
from connectors.kubernetes.object_index import OVER, ObjectIndex
from connectors.kubernetes.objects import (
    Autoscaler,
    ClusterService,
    EndpointSlice,
    MachineNode,
    Notice,
    ObjectKind,
    Pod,
    PodTemplate,
    Thing,
    Workload,
)
from connectors.kubernetes.releases import Releases
from connectors.kubernetes.rows import UNDRAWN, link_rows, object_row, retire_row, service_rows
from contracts.events import Change
from contracts.ports import GraphWrite
from contracts.units import SECOND

_EARLIER_NS: Final = 2 * SECOND
"""A ReplicaSet this much older than a roll-out is an earlier revision, not that roll-out's own."""
REPEAT_NS: Final = 30 * SECOND
"""Of what befalls the pods of a workload one change of a kind is told in this time; the others are counted."""
_ROWS: Final = 1000


class ClusterModel:
    """One cluster's objects by uid. `since_ns`: what happened before is old and not told at first sight."""

    def __init__(self, environment: str, since_ns: int, known: Iterable[Thing] = ()) -> None:
        self._known = ObjectIndex(known)
        self.stirred = False
        """Whether any object came, changed or went since this was last made False."""
        self.moves = 0
        """Grows with each pod and Service that comes, changes, goes, or is called otherwise: where who answers may have changed."""
        self.things: dict[str, Thing] = self._known.things
        self.counters: Counter[str] = Counter()
        self._environment, self._since_ns = environment, since_ns
        self._joins, self._releases = Joins(self._known), Releases(self._known)
        self._deletions = Deletions(self._known)
        for thing in self.things.values():
            if isinstance(thing, Workload | Pod):
                self._joins.add(thing)
        self._changes: list[Change] = []
        self._told_ns: dict[tuple[str, str, str], int] = {}
        self._objects: dict[str, dict[str, Any]] = {}
        self._links: dict[tuple[str, str, int], dict[str, Any]] = {}
        self._services: dict[tuple[str, str, int], dict[str, Any]] = {}
        self._retired: list[dict[str, Any]] = []

    def take(self, before: Thing | None, now: Thing | None, now_ns: int) -> None:
        """One object appeared (no `before`), changed, or is gone (no `now`)."""
        thing = now or before
        assert thing is not None
        self.stirred = True
        self.moves += isinstance(thing, Pod | ClusterService | EndpointSlice)
        before = self.things.get(thing.head.uid, before)
        now = self._keep(before, now, thing)
        last = now or _renamed(thing, before)
        context = DiffContext(self._environment, now_ns)
        changes = self._compare(before, now, context)
        self._deletions.take(before, now, last, now_ns)
        released = self._releases.take(before, now, context)
        if released and before is None:  # that it was made is how it was released
            changes = [c for c in changes if c.subject != thing.head.place or c.kind != "deploy"]
        changes += released
        self._tell(changes, now_ns, before is not None)
        self._draw(before, now, now_ns)

    def learn(self, service: str, attributes: Mapping[str, str], time_ns: int) -> None:
        """Telemetry of a service came from a resource with these attributes: it may name the pod or workload."""
        self._joins.learn(service, attributes, time_ns)

    def heard(self, service: str) -> bool:
        """Whether telemetry of a service was heard of."""
        return self._joins.heard(service)

    def listed(self, kind: ObjectKind, namespace: str, kept: Iterable[Thing], now_ns: int) -> None:
        """All of a kind are known: what the graph holds of others, from an earlier time, is over.

        It is told of all that are there, also of those that the last owner knew: each worker may have a graph of its own.
        """
        kept = [self.things.get(thing.head.uid, thing) for thing in kept]
        for thing in kept:
            self._known.unseen.discard(thing.head.uid)
            self._draw(None, thing, now_ns)
        self._retired.append(retire_row(self._environment, kind, namespace, kept, now_ns))

    def tick(self, now_ns: int) -> None:
        """Let time pass: pods whose deletion nobody has explained by now were deleted by somebody."""
        context = DiffContext(self._environment, now_ns)
        for thing in self._joins.renamed():
            now = msgspec.structs.replace(thing, service=self._joins.name(thing))
            self._known.rename(now)
            self.moves += 1
            self._draw(thing, now, now_ns)
        self._tell(self._releases.tick(context), now_ns)
        gone = self._deletions.tick(now_ns)
        self._tell([diff.deletion(d.pod, context, d.replaced_ns) for d in gone], now_ns)
        for told, time_ns in list(self._told_ns.items()):
            if now_ns - time_ns >= REPEAT_NS:
                del self._told_ns[told]

    def changes(self) -> list[Change]:
        """What changed since this was last asked, in order of time."""
        found, self._changes = sorted(self._changes, key=lambda c: c.time_ns), []
        return found

    def writes(self) -> list[GraphWrite]:
        """What the graph is to be told since this was last asked."""
        rows = (
            ("upsert_objects", list(self._objects.values())),
            ("link_objects", list(self._links.values())),
            ("link_services", list(self._services.values())),
            ("retire_objects", self._retired),
        )
        found = [
            GraphWrite(name, tuple(part[i : i + _ROWS])) for name, part in rows for i in range(0, len(part), _ROWS)
        ]
        self._objects, self._links, self._services, self._retired = {}, {}, {}, []
        return found

    def counts(self) -> Counter[str]:
        """How many objects of each kind are known."""
        return Counter(str(thing.head.kind) for thing in self.things.values())

    # --- comparing

    def _keep(self, before: Thing | None, now: Thing | None, thing: Thing) -> Thing | None:
        """Note it; the same with the service that it is, and with the first word of its end."""
        if now is None:
            self._known.pop(thing.head.uid)
            self._joins.remove(thing)
            return None
        if isinstance(now, Pod) and isinstance(before, Pod) and 0 < before.leaving_ns < now.leaving_ns:
            now = msgspec.structs.replace(now, leaving_ns=before.leaving_ns)
        self._known.put(now)
        if isinstance(now, Workload | Pod):
            self._joins.add(now)
            service = self._joins.name(now)
            if service != now.service:
                now = msgspec.structs.replace(now, service=service)
                self._known.rename(now)
        return now

    def _compare(self, before: Thing | None, now: Thing | None, context: DiffContext) -> list[Change]:
        match now or before:
            case Workload() as thing:
                old, new = _as(Workload, before), _as(Workload, now)
                changed = old is not None and new is not None and new.template != old.template
                return diff.workload_changes(old, new, context, self._earlier(thing) if changed else frozenset())
            case Pod():
                return diff.pod_changes(_as(Pod, before), _as(Pod, now), context)
            case MachineNode() as thing:
                return diff.node_changes(_as(MachineNode, before), _as(MachineNode, now), self._pods_on(thing), context)
            case Autoscaler() as thing:
                service = self._scaled_by(thing)
                return diff.autoscaler_changes(_as(Autoscaler, before), _as(Autoscaler, now), service, context)
            case Notice() as thing:
                return diff.notice_changes(_as(Notice, before), _as(Notice, now), self._about(thing), context)
            case _:
                return []

    def _earlier(self, workload: Workload) -> frozenset[PodTemplate]:
        """Templates of its ReplicaSets from before its last write."""
        until_ns = workload.writer.time_ns - _EARLIER_NS
        return frozenset(
            t.template
            for t in self.things.values()
            if isinstance(t, Workload)
            and t.head.owner is not None
            and t.head.owner.uid == workload.head.uid
            and t.head.created_ns < until_ns
        )

    def _pods_on(self, node: MachineNode) -> Counter[str]:
        pods = (t for t in self.things.values() if isinstance(t, Pod) and t.node == node.head.name)
        return Counter(pod.service for pod in pods if pod.phase not in OVER)

    def _scaled_by(self, scaler: Autoscaler) -> str:
        wanted = scaler.target_kind, scaler.head.namespace, scaler.target
        for thing in self.things.values():
            head = thing.head
            own = head.kind, head.namespace, head.name
            made_by = (head.owner.kind, head.namespace, head.owner.name) if head.owner else own
            if isinstance(thing, Workload) and wanted in (own, made_by):  # a Rollout is known by its ReplicaSets
                return thing.service
        return scaler.target

    def _about(self, notice: Notice) -> str:
        thing = self.things.get(notice.about_uid)
        return thing.service if isinstance(thing, Workload | Pod) else ""

    # --- telling

    def _tell(self, changes: Iterable[Change], now_ns: int, known: bool = False) -> None:
        """Of what is not `known` from before only what is new."""
        for change in changes:
            if not known and change.time_ns < self._since_ns:
                continue
            kind, _, place = change.subject.partition("/")
            if kind == "pod":
                top = self._joins.top_at("/".join(change.subject.split("/")[:3])) or place.partition("/")[0]
                told = (top, change.service, change.kind)
                if now_ns - self._told_ns.get(told, -REPEAT_NS) < REPEAT_NS:
                    self.counters["repeated"] += 1
                    continue
                self._told_ns[told] = now_ns
            self.counters[change.kind] += 1
            self._changes.append(change)

    def _draw(self, before: Thing | None, now: Thing | None, now_ns: int) -> None:
        thing = now or before
        if thing is None or thing.head.kind in UNDRAWN:
            return
        environment, until_ns = self._environment, 0 if now else now_ns
        row = object_row(environment, thing, now_ns, until_ns)
        links = {_key(link): link for link in link_rows(environment, thing, now_ns, until_ns)}
        services = {_key_of_service(s): s for s in service_rows(environment, thing, now_ns, until_ns)}
        if before is not None:
            ended = {_key(link): link for link in link_rows(environment, before, now_ns, now_ns)}
            was = {_key_of_service(s): s for s in service_rows(environment, before, now_ns, now_ns)}
            same = links.keys() == ended.keys() and services.keys() == was.keys()
            if same and row == object_row(environment, before, now_ns):
                return
            links, services = ended | links, was | services
        self._objects[row["id"]] = row
        self._links.update(links)
        self._services.update(services)


def _key(link: Mapping[str, Any]) -> tuple[str, str, int]:
    return link["from_id"], link["to_id"], link["valid_from"]


def _key_of_service(row: Mapping[str, Any]) -> tuple[str, str, int]:
    return row["service_key"], row["object_id"], row["valid_from"]


def _renamed(thing: Thing, before: Thing | None) -> Thing:
    """What was seen last of something, with the service that it was."""
    if isinstance(thing, Workload | Pod) and isinstance(before, Workload | Pod):
        return msgspec.structs.replace(thing, service=before.service)
    return thing


def _as(kind: type[Any], thing: Thing | None) -> Any:
    return thing if isinstance(thing, kind) else None
