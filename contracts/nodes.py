"""What a service's instances run on: nodes (hosts) and the zones of these, as telemetry tells of them.

Where telemetry comes in, each service's nodes are told of in an attribute (`contracts.claims.NODES`), when they change and now and then;
of services whose instances are compared, each instance's as well (`contracts.instance_parts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

NODE: Final = "k8s.node.name"
"""By which attribute of a part's pod its node is known, whatever named it."""
ZONE: Final = "cloud.availability_zone"
"""The same of its zone."""
NODE_KEYS: Final = (NODE, "host.name", "host.id")
"""Attributes that name what an instance runs on, the best first."""
ZONE_KEYS: Final = ("topology.kubernetes.io/zone", ZONE)
"""Attributes that name the zone of that, the best first."""
ON_NODE: Final = "node:"
"""Before the name of what services run on, where the path of an incident leads to it."""
MOST_NODES: Final = 16
"""Told of one service; those heard of last."""
TOLD_S: Final = 150
"""A node that was heard of last so much longer ago than another of the same service is none of its any more: each is told of every minute."""


class Ground(NamedTuple):
    """What an instance runs on; "" where that is not known."""

    node: str
    zone: str = ""


class HeardNode(msgspec.Struct, array_like=True, frozen=True):
    """A node from which telemetry of a service came, last at `heard_s` (epoch seconds)."""

    node: str
    zone: str
    heard_s: int


def ground_of(attributes: Mapping[str, str]) -> Ground:
    """What a resource with these attributes runs on. A container calls its host by the pod's name: that is no node."""
    pod = attributes.get("k8s.pod.name", "")
    node = next((v for k in NODE_KEYS if (v := attributes.get(k)) and v != pod), "")
    return Ground(node, next((v for k in ZONE_KEYS if (v := attributes.get(k))), "") if node else "")


def nodes_together(told: Iterable[Iterable[HeardNode]]) -> list[HeardNode]:
    """The nodes of one service as several origins tell of them, by their names; at most `MOST_NODES`."""
    found: dict[str, HeardNode] = {}
    for heard in (h for nodes in told for h in nodes):
        known = found.get(heard.node)
        if known is None or heard.heard_s > known.heard_s:
            found[heard.node] = (
                heard if heard.zone or known is None else msgspec.structs.replace(heard, zone=known.zone)
            )
    newest_s = max((h.heard_s for h in found.values()), default=0)
    current = [h for h in found.values() if newest_s - h.heard_s <= TOLD_S]
    return sorted(sorted(current, key=lambda h: (-h.heard_s, h.node))[:MOST_NODES], key=lambda h: h.node)


def spelled_nodes(nodes: Iterable[HeardNode]) -> str:
    """Nodes as attributes carry them."""
    return msgspec.json.encode(list(nodes)).decode()


def nodes_from(text: str) -> list[HeardNode]:
    """Nodes from attributes; none where it can't be read."""
    try:
        return msgspec.json.decode(text, type=list[HeardNode]) if text else []
    except msgspec.MsgspecError:
        return []
