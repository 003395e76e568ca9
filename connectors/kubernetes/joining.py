"""Which service a workload or pod is in telemetry: by the pod (uid, or namespace and name) or workload that telemetry names. Pure.

What an object says of itself (`naming`) is a guess as soon as it is a label: parts of one application share them, and telemetry
may use another name. Who names a pod names its workload with it, so one pod of each is enough. Once telemetry has named the
workloads of a service, another one that merely calls itself so is none of them (a worker that sends nothing, a job of the same
chart), unless it is new: its telemetry may be on its way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Final

from connectors.kubernetes.naming import top_workload
from connectors.kubernetes.object_index import OVER, ObjectIndex
from connectors.kubernetes.objects import ObjectKind, Pod, Thing, Workload
from contracts.claims import CONTESTED, PARTS
from contracts.parts import parts_from
from contracts.units import SECOND

_AT: Final = "at/"
_POD_IP: Final = "k8s.pod.ip"
"""A pod has its address from when it was given it until it has ended or is gone."""
_WORKLOADS: Final = {
    "k8s.deployment.name": ObjectKind.DEPLOYMENT,
    "k8s.statefulset.name": ObjectKind.STATEFUL_SET,
    "k8s.daemonset.name": ObjectKind.DAEMON_SET,
    "k8s.replicaset.name": ObjectKind.REPLICA_SET,
}
_NAMESPACE, _POD_UID, _POD_NAME = "k8s.namespace.name", "k8s.pod.uid", "k8s.pod.name"
FORGET_NS: Final = 600 * SECOND
"""A claim that nobody repeats while others do is over: the workload got another name."""
_CLAIMS: Final = 50_000
_RIVALS: Final = 8
_TOPS: Final = 64
"""Workloads of one service that are remembered."""
_DEEP: Final = 5
Named = dict[str, int]
"""Services, and when each was heard of last."""


class Joins:
    """What telemetry claims of the objects that are `known`, which somebody else keeps: `add` and `remove` come after it."""

    def __init__(self, known: ObjectIndex) -> None:
        self._known, self._things = known, known.things
        self._own: dict[str, str] = {}
        self._by_own: dict[str, dict[str, None]] = {}
        """Uids of objects by what they call themselves."""
        self._places: dict[str, str] = {}
        self._at: dict[str, str] = {}
        """Uids of pods by their addresses."""
        self._claims: OrderedDict[str, Named] = OrderedDict()
        self._heard: OrderedDict[str, tuple[Mapping[str, str], tuple[str, ...]]] = OrderedDict()
        self._due: set[str] = set()
        self._tops: dict[str, dict[str, None]] = {}
        """By service the workloads that telemetry has named as its own."""
        self._young: dict[str, int] = {}
        """Workloads that nobody has named, and until when that may only be too early."""
        self._newest_ns = 0

    # --- objects

    def add(self, thing: Workload | Pod) -> None:
        """It is there, and calls itself this service."""
        head = thing.head
        self._forget_own(head.uid)
        self._own[head.uid] = thing.service
        self._by_own.setdefault(thing.service, {})[head.uid] = None
        self._places[head.place] = head.uid
        if isinstance(thing, Workload) and self._known.owned(head.uid):
            self._due.add(head.uid)
        for key in (head.place, _by_uid(head.uid)):
            if key in self._claims:
                self._of_top(head.uid, self._claims[key])
        if self._newest_ns < head.created_ns + FORGET_NS:
            self._young[head.uid] = head.created_ns + FORGET_NS
        if isinstance(thing, Pod) and thing.phase in OVER:
            self._leave_address(thing)
        elif isinstance(thing, Pod) and thing.ip and not self._is_taken(thing):
            self._at[thing.ip] = head.uid
            for service, time_ns in list(self._claims.get(_at(thing.ip), {}).items()):
                self._at_address(thing, service, time_ns)

    def remove(self, thing: Thing) -> None:
        """It is gone."""
        head = thing.head
        self._forget_own(head.uid)
        self._young.pop(head.uid, None)
        if isinstance(thing, Pod):
            self._leave_address(thing)
        if self._places.get(head.place) == head.uid:
            del self._places[head.place]
        if head.owner is not None and not self._known.owned(head.owner.uid):
            self._claims.pop(_by_uid(head.owner.uid), None)

    def name(self, thing: Workload | Pod) -> str:
        """The service that it is."""
        top: Thing = thing
        for _ in range(_DEEP):
            top = self._things.get(top.head.owner.uid, top) if top.head.owner else top
        own = self._own.get(top.head.uid) or self._own.get(thing.head.uid, thing.service)
        if own not in self._heard and (qualified := f"{thing.head.namespace}/{own}") in self._heard:
            own = qualified
        found: Named = {}
        for key in self._keys(thing):
            for service, time_ns in self._claims.get(key, {}).items():
                found[service] = max(time_ns, found.get(service, 0))
        if not found and self._another(own, top):
            return f"{own.rpartition('/')[0]}/{_called(top)}".lstrip("/")
        return self._chosen(found, own, top.head.name)

    def _another(self, own: str, top: Thing) -> bool:
        """Whether a workload that nobody has named is another one than those of the service that it calls itself."""
        tops = [uid for uid in self._tops.get(own, ()) if uid in self._things or self._known.owned(uid)]
        is_young = self._newest_ns < top.head.created_ns + FORGET_NS
        return bool(tops) and self._top(top.head.uid) not in tops and not is_young

    def top_at(self, place: str) -> str:
        """The uid of the workload of what is at a place; "" where that isn't known."""
        uid = self._places.get(place, "")
        return self._top(uid) if uid else ""

    def renamed(self) -> list[Workload | Pod]:
        """Objects whose service is another one by now."""
        due, self._due = self._due, set()
        grown = [uid for uid, until_ns in self._young.items() if until_ns <= self._newest_ns]
        for uid in grown:
            del self._young[uid]
        due.update(grown)
        found = []
        for uid in {u for d in due for u in self._tree(d)}:
            thing = self._things.get(uid)
            if isinstance(thing, Workload | Pod) and self.name(thing) != thing.service:
                found.append(thing)
        return sorted(found, key=lambda t: t.head.uid)

    # --- telemetry

    def learn(self, service: str, attributes: Mapping[str, str], time_ns: int) -> None:
        """A service was heard of, with these attributes of its resource."""
        self._newest_ns = max(self._newest_ns, time_ns)
        known = self._heard.get(service)
        keys = known[1] if known is not None and known[0] == attributes else tuple(_claimed(attributes))
        self._heard[service] = (attributes, keys)
        self._heard.move_to_end(service)
        if known is None and "/" in service:
            self._due.update(self._unqualified(service))
        if len(self._heard) > _CLAIMS:
            self._tops.pop(self._heard.popitem(last=False)[0], None)
        for key in keys:
            self._claim(key, service, time_ns)
            uid = self._uid_of(key)
            found = self._things.get(uid)
            if isinstance(found, Pod):
                if key.startswith(_AT):
                    self._at_address(found, service, time_ns)
                else:
                    self._of_top(uid, {service: time_ns})
            elif uid and (known is None or key not in known[1]):
                self._due.add(uid)
                self._has(service, self._top(uid))

    def heard(self, service: str) -> bool:
        """Whether telemetry of a service was heard of."""
        return service in self._heard

    def _unqualified(self, service: str) -> Iterator[str]:
        """Objects of a service's namespace that call themselves by its name alone."""
        namespace, _, name = service.rpartition("/")
        for uid in self._by_own.get(name, ()):
            if (thing := self._things.get(uid)) is not None and thing.head.namespace == namespace:
                yield uid

    def _forget_own(self, uid: str) -> None:
        own = self._own.pop(uid, None)
        if own is not None:
            alike = self._by_own[own]
            del alike[uid]
            if not alike:
                del self._by_own[own]

    def _leave_address(self, pod: Pod) -> None:
        if self._at.get(pod.ip) == pod.head.uid:
            del self._at[pod.ip]
            self._claims.pop(_at(pod.ip), None)  # the next pod of that address may be another service's

    def _is_taken(self, pod: Pod) -> bool:
        """Whether a pod's address was given to another one since."""
        other = self._things.get(self._at.get(pod.ip, ""))
        return isinstance(other, Pod) and other.head.uid != pod.head.uid and other.addressed_ns > pod.addressed_ns

    def _at_address(self, pod: Pod, service: str, time_ns: int) -> None:
        """A service was heard of at a pod's address: before the pod was there, that was another's."""
        if time_ns >= pod.addressed_ns:
            self._claim(_by_uid(pod.head.uid), service, time_ns)
            self._of_top(pod.head.uid, {service: time_ns})

    def _uid_of(self, key: str) -> str:
        kind, _, rest = key.partition("/")
        return rest if kind == "uid" else self._at.get(rest, "") if kind == "at" else self._places.get(key, "")

    def _claim(self, key: str, service: str, time_ns: int) -> bool:
        services = self._claims.setdefault(key, {})
        self._claims.move_to_end(key)
        new = service not in services
        services[service] = max(time_ns, services.get(service, 0))
        if len(services) > _RIVALS:
            del services[min(services, key=lambda s: (services[s], s))]
        if len(self._claims) > _CLAIMS:
            self._claims.popitem(last=False)
        return new

    def _of_top(self, pod: str, services: Mapping[str, int]) -> None:
        """What is said of a pod is said of its workload."""
        top = self._top(pod)
        for service, time_ns in services.items():
            if top == pod or self._claim(_by_uid(top), service, time_ns):
                self._due.add(top)
            self._has(service, top)

    def _has(self, service: str, top: str) -> None:
        """A workload is one of a service's: whoever else calls itself so may not be."""
        tops = self._tops.setdefault(service, {})
        if top in tops:
            return
        tops[top] = None
        if len(tops) > _TOPS:
            del tops[next(iter(tops))]
        for own in {service, service.rpartition("/")[2]}:
            self._due.update(self._by_own.get(own, ()))

    # --- looking up

    def _chosen(self, found: Named, own: str, workload: str) -> str:
        newest = max(found.values(), default=0)
        fresh = sorted(s for s, time_ns in found.items() if newest - time_ns < FORGET_NS)
        if not fresh or own in fresh:
            return own
        # A service of that name which claims no workload at all is most likely this one: whoever claims it may be mistaken.
        if own in self._heard and not self._heard[own][1]:
            return own
        return min(fresh, key=lambda s: (s.rpartition("/")[2] not in workload, s))

    def _keys(self, thing: Workload | Pod) -> Iterator[str]:
        """Under which it may be claimed: itself, those that own it, and what the Collector takes a custom owner for."""
        current: Thing | None = thing
        for _ in range(_DEEP):
            if current is None:
                return
            head = current.head
            yield head.place
            yield _by_uid(head.uid)
            if head.owner is None:
                return
            yield _by_uid(head.owner.uid)
            if not head.owner.watched:
                yield f"deployment/{head.namespace}/{head.owner.name}"
            current = self._things.get(head.owner.uid)

    def _top(self, uid: str) -> str:
        """The uid of the last of those that own it, whether or not it is known."""
        for _ in range(_DEEP):
            thing = self._things.get(uid)
            if thing is None or thing.head.owner is None:
                return uid
            uid = thing.head.owner.uid
        return uid

    def _tree(self, uid: str) -> Iterator[str]:
        todo = [(uid, 0)]
        while todo:
            found, depth = todo.pop()
            yield found
            if depth < _DEEP:
                todo += [(t.head.uid, depth + 1) for t in self._known.owned(found)]


def _called(top: Thing) -> str:
    """The name of a workload by itself, or of what makes it."""
    owner = top.head.owner
    return top_workload(owner.kind, owner.name, {})[1] if owner is not None else top.head.name


def _claimed(attributes: Mapping[str, str]) -> Iterator[str]:
    if (
        CONTESTED in attributes
    ):  # those who claim it don't agree: nobody's word counts, but for pods that can be nobody else's
        uids = (part.pod.get(_POD_UID, "") for part in parts_from(attributes.get(PARTS, "")))
        yield from (_by_uid(uid) for uid in uids if uid)
        return
    namespace = attributes.get(_NAMESPACE, "")
    if attributes.get(_POD_UID):
        yield _by_uid(attributes[_POD_UID])
    if namespace and attributes.get(_POD_NAME):
        yield f"pod/{namespace}/{attributes[_POD_NAME]}"
    if attributes.get(_POD_IP):
        yield _at(attributes[_POD_IP])
    for attribute, kind in _WORKLOADS.items():
        if namespace and attributes.get(attribute):
            yield f"{kind.lower()}/{namespace}/{attributes[attribute]}"


def _at(ip: str) -> str:
    return _AT + ip


def _by_uid(uid: str) -> str:
    return f"uid/{uid}"
