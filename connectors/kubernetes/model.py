"""A cluster as it is known: takes what the informers tell, says what changed and what the graph is to be told. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from connectors.kubernetes import diff
from connectors.kubernetes.diff import Context
from connectors.kubernetes.objects import Autoscaler, Kind, Node, Notice, Pod, Template, Thing, Workload
from connectors.kubernetes.rows import link_rows, object_row, retire_row, service_row
from contracts.events import Change
from contracts.ports import GraphWrite

_SECOND: Final = 1_000_000_000
_SUSPECT_NS: Final = 7 * _SECOND // 10
"""Kinds come on separate streams: that a ReplicaSet shrank may be known this much later than that its pod goes."""
_SHRUNK_NS: Final = 10 * _SECOND
_ROLLOUT_NS: Final = 600 * _SECOND
_EARLIER_NS: Final = 2 * _SECOND
"""A ReplicaSet this much older than a roll-out is an earlier revision, not that roll-out's own."""
REPEAT_NS: Final = 30 * _SECOND
"""Of what befalls the pods of a service one change of a kind is told in this time; the others are counted."""
_ROWS: Final = 1000


class ClusterModel:
    """One cluster's objects by uid. `since_ns`: what happened before is old and not told at first sight."""

    def __init__(self, environment: str, since_ns: int, known: Iterable[Thing] = ()) -> None:
        self.things: dict[str, Thing] = {thing.head.uid: thing for thing in known}
        self.counters: Counter[str] = Counter()
        self._environment, self._since_ns = environment, since_ns
        self._changes: list[Change] = []
        self._told_ns: dict[tuple[str, str], int] = {}
        self._suspects: list[tuple[int, Pod]] = []
        self._shrunk_ns: dict[str, int] = {}
        self._rolled_ns: dict[str, int] = {}
        self._objects: dict[str, dict[str, Any]] = {}
        self._links: dict[tuple[str, str, int], dict[str, Any]] = {}
        self._services: dict[tuple[str, str, int], dict[str, Any]] = {}
        self._retired: list[dict[str, Any]] = []

    def take(self, before: Thing | None, now: Thing | None, now_ns: int) -> None:
        """One object appeared (no `before`), changed, or is gone (no `now`)."""
        thing = now or before
        assert thing is not None
        context = Context(self._environment, now_ns)
        changes = self._compare(before, now, context)
        for change in changes:
            if before is not None or change.time_ns >= self._since_ns:
                self._tell(change, now_ns)
        self._draw(before, now, now_ns)
        if now is None:
            self.things.pop(thing.head.uid, None)
        else:
            self.things[thing.head.uid] = now

    def listed(self, kind: Kind, namespace: str, kept: Iterable[Thing], now_ns: int) -> None:
        """All of a kind are known: what the graph holds of others, from an earlier time, is over.

        It is told of all that are there, also of those that the last owner knew: each worker may have a graph of its own.
        """
        kept = list(kept)
        for thing in kept:
            self._draw(None, thing, now_ns)
        self._retired.append(retire_row(self._environment, kind, namespace, kept, now_ns))

    def tick(self, now_ns: int) -> None:
        """Let time pass: pods whose deletion nobody has explained by now were deleted by somebody."""
        due = [pod for at_ns, pod in self._suspects if at_ns <= now_ns]
        self._suspects = [(at_ns, pod) for at_ns, pod in self._suspects if at_ns > now_ns]
        for pod in due:
            if self._unexplained(pod, now_ns):
                self._tell(diff.deletion(pod, Context(self._environment, now_ns)), now_ns)

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

    def _compare(self, before: Thing | None, now: Thing | None, context: Context) -> list[Change]:
        match now or before:
            case Workload() as thing:
                return self._workload(_as(Workload, before), _as(Workload, now), thing, context)
            case Pod() as thing:
                self._suspect(_as(Pod, before), _as(Pod, now), context.now_ns)
                return diff.pod_changes(_as(Pod, before), _as(Pod, now), context)
            case Node() as thing:
                return diff.node_changes(_as(Node, before), _as(Node, now), self._pods_on(thing), context)
            case Autoscaler() as thing:
                service = self._scaled_by(thing)
                return diff.autoscaler_changes(_as(Autoscaler, before), _as(Autoscaler, now), service, context)
            case Notice() as thing:
                return diff.notice_changes(_as(Notice, before), _as(Notice, now), self._about(thing), context)
            case _:
                return []

    def _workload(
        self, before: Workload | None, now: Workload | None, thing: Workload, context: Context
    ) -> list[Change]:
        uid = thing.head.uid
        if before is not None and now is not None:
            if now.replicas < before.replicas:
                self._shrunk_ns[uid] = context.now_ns
            if now.template != before.template:
                self._rolled_ns[uid] = context.now_ns
        if now is None:
            self._shrunk_ns.pop(uid, None)
            self._rolled_ns.pop(uid, None)
        changed = before is not None and now is not None and now.template != before.template
        earlier = self._earlier(thing) if changed else frozenset()
        return diff.workload_changes(before, now, context, earlier)

    def _earlier(self, workload: Workload) -> frozenset[Template]:
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

    def _pods_on(self, node: Node) -> Counter[str]:
        pods = (t for t in self.things.values() if isinstance(t, Pod) and t.node == node.head.name)
        return Counter(pod.service for pod in pods if pod.phase not in ("Succeeded", "Failed"))

    def _scaled_by(self, scaler: Autoscaler) -> str:
        for thing in self.things.values():
            head = thing.head
            if (head.kind, head.namespace, head.name) == (scaler.target_kind, scaler.head.namespace, scaler.target):
                return thing.service if isinstance(thing, Workload) else ""
        return scaler.target

    def _about(self, notice: Notice) -> str:
        thing = self.things.get(notice.about_uid)
        return thing.service if isinstance(thing, Workload | Pod) else ""

    # --- deletions of pods

    def _suspect(self, before: Pod | None, now: Pod | None, now_ns: int) -> None:
        """Note a pod that begins to go. One that is known to go already was noted then."""
        known = before is not None and self.things.get(before.head.uid)
        begins = isinstance(known, Pod) and not known.leaving_ns
        going = now if now is not None and now.leaving_ns else before if now is None else None
        if begins and going is not None:
            self._suspects.append((now_ns + _SUSPECT_NS, going))

    def _unexplained(self, pod: Pod, now_ns: int) -> bool:
        owner = self.things.get(pod.head.owner.uid) if pod.head.owner else None
        if not isinstance(owner, Workload) or pod.evicted.reason or pod.phase in ("Succeeded", "Failed"):
            return False
        if now_ns - self._shrunk_ns.get(owner.head.uid, -_SHRUNK_NS) < _SHRUNK_NS:
            return False
        if owner.head.kind is Kind.DAEMON_SET and now_ns - self._rolled_ns.get(owner.head.uid, 0) < _ROLLOUT_NS:
            return False
        if owner.head.kind is Kind.STATEFUL_SET and pod.revision != owner.revision:
            return False
        top = self.things.get(owner.head.owner.uid) if owner.head.owner else owner
        return not (isinstance(top, Workload) and top.last_pod == pod.head.uid)

    # --- telling

    def _tell(self, change: Change, now_ns: int) -> None:
        if change.subject.startswith("pod/"):
            told = (change.service, change.kind)
            if now_ns - self._told_ns.get(told, -REPEAT_NS) < REPEAT_NS:
                self.counters["repeated"] += 1
                return
            self._told_ns[told] = now_ns
        self.counters[change.kind] += 1
        self._changes.append(change)

    def _draw(self, before: Thing | None, now: Thing | None, now_ns: int) -> None:
        thing = now or before
        if thing is None or isinstance(thing, Notice):
            return
        environment, until_ns = self._environment, 0 if now else now_ns
        row = object_row(environment, thing, now_ns, until_ns)
        links = {_key(link): link for link in link_rows(environment, thing, now_ns, until_ns)}
        known = self.things.get(thing.head.uid) if before is not None else None
        if known is not None:
            ended = {_key(link): link for link in link_rows(environment, known, now_ns, now_ns)}
            if row == object_row(environment, known, now_ns) and links.keys() == ended.keys():
                return
            links = ended | links
        self._objects[row["id"]] = row
        self._links.update(links)
        service = service_row(environment, thing, now_ns, until_ns)
        if service is not None:
            self._services[service["service_key"], service["object_id"], service["valid_from"]] = service


def _key(link: Mapping[str, Any]) -> tuple[str, str, int]:
    return link["from_id"], link["to_id"], link["valid_from"]


def _as(kind: type[Any], thing: Thing | None) -> Any:
    return thing if isinstance(thing, kind) else None
