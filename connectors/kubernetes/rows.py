"""What the knowledge graph is told of a cluster: rows of flat values for the named statements of `graph/cypher/`. Pure.

An object's id is its place, `environment|kind/namespace/name`, so that links need no look-up: owners, nodes and what an
autoscaler scales are all known by name. Every object and link carries the time in which it held (`valid_to` 0: it still does).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from connectors.kubernetes.objects import Autoscaler, MachineNode, ObjectHead, ObjectKind, Pod, Thing, Workload
from connectors.kubernetes.template import tag_of

UNDRAWN: Final = frozenset({ObjectKind.NOTICE, ObjectKind.SERVICE, ObjectKind.ENDPOINTS})
"""Kinds that are no objects of the graph: what they say is about others."""
DRAWN: Final = frozenset(ObjectKind) - UNDRAWN
Row = dict[str, Any]


def object_id(environment: str, place: str) -> str:
    """An object's id in the graph."""
    return f"{environment}|{place}"


def object_row(environment: str, thing: Thing, now_ns: int, valid_to_ns: int = 0) -> Row:
    """The object as it is now."""
    head = thing.head
    return {
        "id": object_id(environment, head.place),
        "environment": environment,
        "kind": str(head.kind),
        "namespace": head.namespace,
        "name": head.name,
        "uid": head.uid,
        "version": _version(thing),
        "state": _state(thing),
        "replicas": thing.replicas if isinstance(thing, Workload) else 0,
        "valid_from": head.created_ns,
        "valid_to": valid_to_ns,
        "time": now_ns,
    }


def link_rows(environment: str, thing: Thing, now_ns: int, valid_to_ns: int = 0) -> list[Row]:
    """Who owns it, where it runs, what it scales."""
    return [
        {
            "from_id": object_id(environment, from_place),
            "to_id": object_id(environment, to_place),
            "link": link,
            "valid_from": valid_from,
            "valid_to": valid_to_ns,
            "time": now_ns,
        }
        for link, from_place, to_place, valid_from in _links(thing)
    ]


def service_rows(environment: str, thing: Thing, now_ns: int, valid_to_ns: int = 0) -> list[Row]:
    """Which service it is, for what no other object of the graph owns; nothing for the others."""
    if not isinstance(thing, Workload | Pod) or _owned(thing.head):
        return []
    return [
        {
            "service_key": f"{environment}|{thing.service}",
            "object_id": object_id(environment, thing.head.place),
            "valid_from": thing.head.created_ns,
            "valid_to": valid_to_ns,
            "time": now_ns,
        }
    ]


def retire_row(environment: str, kind: ObjectKind, namespace: str, kept: Iterable[Thing], now_ns: int) -> Row:
    """What of a kind (in a namespace; "" is all) is no longer there: all but `kept`."""
    ids = [object_id(environment, thing.head.place) for thing in kept]
    return {"environment": environment, "kind": str(kind), "namespace": namespace, "time": now_ns, "kept": ids}


def _links(thing: Thing) -> Iterator[tuple[str, str, str, int]]:
    head = thing.head
    if head.owner is not None and _owned(head):
        yield "owns", _place(head.owner.kind, head.namespace, head.owner.name), head.place, head.created_ns
    if isinstance(thing, Pod) and thing.node:
        yield "runs_on", head.place, _place(ObjectKind.NODE, "", thing.node), thing.scheduled_ns or head.created_ns
    if isinstance(thing, Autoscaler) and thing.target_kind in DRAWN:
        yield "scales", head.place, _place(thing.target_kind, head.namespace, thing.target), head.created_ns


def _owned(head: ObjectHead) -> bool:
    return head.owner is not None and head.owner.watched


def _place(kind: str, namespace: str, name: str) -> str:
    return ObjectHead(ObjectKind(kind), "", namespace, name, "", 0, None).place


def _version(thing: Thing) -> str:
    return ", ".join(tag_of(image) for image in thing.template.images) if isinstance(thing, Workload) else ""


def _state(thing: Thing) -> str:
    match thing:
        case Pod():
            return "Leaving" if thing.leaving_ns else thing.phase
        case MachineNode():
            bad = [c.type if c.type != "Ready" else "NotReady" for c in thing.conditions if c.bad]
            return ", ".join([*bad, *(["Cordoned"] if thing.cordoned else [])]) or "Ready"
        case _:
            return ""
