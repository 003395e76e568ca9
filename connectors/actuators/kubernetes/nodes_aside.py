"""Nodes that are set aside (cordoned), so that nothing new is put there, and given back.

https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from connectors import paths
from connectors.actuators.kubernetes.client import STRATEGIC, Cluster
from connectors.actuators.kubernetes.workload import Json
from contracts.errors import ActionFailed, Forbidden

SET_ASIDE: Final = "homeostat.io/set-aside"
"""Annotation of a node that we set aside, with the key of the effect: what others set aside is theirs to give back."""
ZONE_LABEL: Final = "topology.kubernetes.io/zone"
LEAST_LEFT: Final = 0.5
"""Share of a cluster's nodes that must go on taking pods. By hand: whose nodes are mostly bad has another trouble."""
_LISTED: Final = "500"
_FIX: Final = "bind the ClusterRole homeostat-node-drainer, or drain the node by hand"


class NodesAside:
    """The nodes of one cluster, as far as they take new pods. Raises as `Cluster.patch`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def in_zone(self, zone: str) -> list[str]:
        """The nodes of a zone, by name. Raises ActionFailed where we may not know."""
        try:
            every = await self._every()
        except Forbidden as e:
            raise ActionFailed(f"the nodes of {zone} can't be read: {e.message}", reason="forbidden", fix=_FIX) from e
        labels = {str(n["metadata"]["name"]): n["metadata"].get("labels") or {} for n in every}
        return sorted(name for name, of in labels.items() if of.get(ZONE_LABEL) == zone)

    async def set_all_aside(self, names: Sequence[str], key: str) -> str:
        """The same of several nodes: all of them, or none where too few would be left. Raises as `set_aside`."""
        if len(names) > 1:
            try:
                await self._ensure_enough(*names)
            except Forbidden as e:
                raise ActionFailed(f"nodes can't be set aside: {e.message}", reason="forbidden", fix=_FIX) from e
        return "; ".join([await self.set_aside(name, key) for name in names])

    async def set_aside(self, name: str, key: str) -> str:
        """Have nothing new put on a node; what was done, in words.

        Raises:
            ActionFailed: we may not, or too few nodes would be left. Then nothing was done: what is evicted might be put back there.
        """
        try:
            node = await self._cluster.get(_path(name))
            if unschedulable(node):
                return f"node {name} had been set aside"
            await self._ensure_enough(name)
            await self._set(node, {SET_ASIDE: key}, aside=True)
        except Forbidden as e:
            text = f"node {name} can't be set aside, and what is evicted might be put back there: {e.message}"
            raise ActionFailed(text, reason="forbidden", fix=_FIX) from e
        return f"node {name} set aside"

    async def give_back(self, name: str, key: str = "") -> str:
        """Let a node take pods again, if we set it aside; with a `key`, if that effect did: another one may have moved pods off it. What was
        done, in words. Raises ActionFailed where we may not."""
        try:
            node = await self._cluster.get(_path(name))
            by = (node["metadata"].get("annotations") or {}).get(SET_ASIDE)
            if by is None or key not in ("", by):
                return f"node {name} was not set aside by {'this move' if by else 'us'}: it stays as it is"
            await self._set(node, {SET_ASIDE: None}, aside=False)
        except Forbidden as e:
            raise ActionFailed(f"node {name} can't be given back: {e.message}", reason="forbidden", fix=_FIX) from e
        return f"node {name} takes pods again"

    async def _every(self) -> list[Json]:
        return (await self._cluster.get("/api/v1/nodes", limit=_LISTED)).get("items") or []

    async def _ensure_enough(self, *names: str) -> None:
        every = await self._every()
        left = [n for n in every if n["metadata"]["name"] not in names and ready(n) and not unschedulable(n)]
        if len(left) < max(1.0, LEAST_LEFT * len(every)):
            which = f"node {names[0]}" if len(names) == 1 else f"nodes {', '.join(names)}"
            raise ActionFailed(
                f"without {which} only {len(left)} of {len(every)} nodes would take pods",
                reason="too_few_nodes",
                fix="a person decides where its pods are to run",
            )

    async def _set(self, node: Json, marks: dict[str, str | None], *, aside: bool) -> None:
        metadata = {"resourceVersion": node["metadata"]["resourceVersion"], "annotations": marks}
        patch = {"metadata": metadata, "spec": {"unschedulable": True if aside else None}}
        await self._cluster.patch(_path(str(node["metadata"]["name"])), patch, STRATEGIC)


def unschedulable(node: Json) -> bool:
    """Whether nothing new is put on a node."""
    return bool(node.get("spec", {}).get("unschedulable"))


def ready(node: Json) -> bool:
    """Whether a node says that it is ready."""
    conditions = node.get("status", {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _path(name: str) -> str:
    return "/api/v1" + paths.path("nodes", paths.subdomain(name, "Node"))
