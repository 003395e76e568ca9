"""Nodes in trouble. A node is no service: its changes are told once for every service that has pods there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from connectors.kubernetes.diff.context import DiffContext
from connectors.kubernetes.objects import ConditionMark, MachineNode
from contracts.events import CORDONED, WELL, Change

_SAID: Final = {
    "Ready": ("is not ready", "is ready again"),
    "MemoryPressure": ("is short of memory", "has enough memory again"),
    "DiskPressure": ("is short of disk", "has enough disk again"),
    "PIDPressure": ("is short of process ids", "has enough process ids again"),
    "NetworkUnavailable": ("has no network", "has its network again"),
}


def node_changes(
    old: MachineNode | None, new: MachineNode | None, pods: Mapping[str, int], context: DiffContext
) -> list[Change]:
    """Not ready, pressure, cordoned, gone, and all these over again. `pods`: how many each service has on the node."""
    thing = new or old
    if thing is None:
        return []
    return [
        context.change(
            service,
            "node",
            f"node {thing.head.name} {text}; {count} {'pod' if count == 1 else 'pods'} of {service} there",
            time_ns=time_ns,
            levels=("", state),
            subject=thing.head.place,
        )
        for text, time_ns, state in _said(old, new)
        for service, count in sorted(pods.items())
    ]


def _said(old: MachineNode | None, new: MachineNode | None) -> Iterator[tuple[str, int, str]]:
    """What is said of a node, since when, and what it is by that: "" where it is in trouble."""
    if new is None:
        yield "was removed from the cluster", 0, ""
        return
    before = {c.type: c.bad for c in old.conditions} if old else {}
    for now in new.conditions:
        if now.bad != before.get(now.type, False):
            bad, good = _SAID[now.type]
            yield (f"{bad}{_why(now.mark)}" if now.bad else good), now.mark.since_ns, "" if now.bad else WELL
    if old is not None and old.cordoned != new.cordoned:
        yield (
            ("gets no new pods (cordoned)" if new.cordoned else "gets pods again"),
            0,
            CORDONED if new.cordoned else WELL,
        )


def _why(mark: ConditionMark) -> str:
    return f" ({mark.reason}{': ' if mark.text else ''}{mark.text})"
