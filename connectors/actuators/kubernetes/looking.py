"""Reading a workload and what belongs to it: nothing here changes anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.actuators.kubernetes import autoscaler as hpa
from connectors.actuators.kubernetes import workload
from connectors.actuators.kubernetes.client import Cluster
from connectors.actuators.kubernetes.revisions import History, history_of
from connectors.actuators.kubernetes.workload import LAST_ACTION, Json, Place, marks_of
from contracts.errors import HomeostatError, InvalidTarget, TargetNotFound, suggest
from contracts.ports import Target, TargetState

_LISTED: Final = "100"
_APPS: Final = "/apis/apps/v1"


@dataclass(frozen=True, slots=True)
class Found:
    """A workload as it was read."""

    place: Place
    body: Json


class Look:
    """Questions to one cluster. Raises as `Cluster.get`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def find(self, target: Target) -> Found:
        """The target's workload. TargetNotFound lists those of its namespace; InvalidTarget: there are several."""
        places, found = workload.places(target), list[Found]()
        for place in places:
            try:
                found.append(Found(place, await self._cluster.get(place.path)))
            except TargetNotFound:
                continue
        if len(found) > 1:
            both = " and ".join(f"{workload.KINDS[f.place.kind]} {f.place.name}" for f in found)
            raise InvalidTarget(f"{target.service} may be {both} in namespace {found[0].place.namespace}")
        if not found:
            raise await self._unknown(target, places)
        return found[0]

    async def again(self, found: Found) -> Found:
        """The same workload as it is now."""
        return Found(found.place, await self._cluster.get(found.place.path))

    async def state(self, found: Found) -> TargetState:
        """As the port wants it."""
        body, kept = found.body, await self._kept(found)
        past, scaler = history_of(body, kept), await self.autoscaler(found)
        pods = self._of(found, kept, await self._list(found, "/api/v1", "pods"))
        return TargetState(
            replicas=workload.wanted(body),
            ready=workload.serving(body),
            version=past.now.version,
            previous_version=past.previous_version,
            generation=str(body["metadata"].get("generation", "")),
            instances=tuple(sorted(p["metadata"]["name"] for p in pods if not workload.leaving(p))),
            detail={
                "kind": found.place.kind,
                "namespace": found.place.namespace,
                "name": found.place.name,
                "uid": str(body["metadata"]["uid"]),
                "revision": str(past.now.number),
                "last_action": marks_of(body).get(LAST_ACTION, ""),
                "autoscaler": hpa.told(scaler, LAST_ACTION),
            },
            most=None if scaler is None else hpa.bounds_of(scaler).limit,
        )

    async def history(self, found: Found) -> History:
        """Its revisions."""
        return history_of(found.body, await self._kept(found))

    async def pods(self, found: Found) -> list[Json]:
        """The pods it controls; others that its selector happens to match are not its own."""
        kept = await self._kept(found) if found.place.kind == "deployments" else []
        return self._of(found, kept, await self._list(found, "/api/v1", "pods"))

    async def autoscaler(self, found: Found) -> Json | None:
        """The HorizontalPodAutoscaler that scales it, if any."""
        if found.place.kind == "daemonsets":
            return None
        reply = await self._cluster.get(found.place.of_namespace(hpa.GROUP, hpa.KIND))
        kind = workload.KINDS[found.place.kind]
        one = hpa.of_workload(reply.get("items") or (), found.place, kind)
        # Items of a list don't say what they are.
        return None if one is None else {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", **one}

    async def _kept(self, found: Found) -> list[Any]:
        kind = "replicasets" if found.place.kind == "deployments" else "controllerrevisions"
        return await self._list(found, _APPS, kind)

    @staticmethod
    def _of(found: Found, kept: Sequence[Json], pods: Sequence[Json]) -> list[Json]:
        owners = workload.owned(kept, found.body) if found.place.kind == "deployments" else [found.body]
        uids = {o["metadata"]["uid"] for o in owners}
        return [p for p in pods if any(r["uid"] in uids for r in p["metadata"].get("ownerReferences") or ())]

    async def _list(self, found: Found, group: str, kind: str) -> list[Any]:
        selector = workload.selector_of(found.body)
        reply = await self._cluster.get(found.place.of_namespace(group, kind), labelSelector=selector)
        return list(reply.get("items") or ())

    async def _unknown(self, target: Target, places: list[Place]) -> TargetNotFound:
        namespace, names = places[0].namespace, set[str]()
        for place in places:
            try:
                found = await self._cluster.get(place.of_namespace(_APPS, place.kind), limit=_LISTED)
            except HomeostatError:
                continue  # it may be forbidden to list: then there is no list to give
            names |= {str(item["metadata"]["name"]) for item in found.get("items", ())}
        close = suggest(places[0].name, sorted(names))
        hint = f"did you mean {close!r}? " if close else ""
        kinds = " or ".join(workload.KINDS[p.kind] for p in places)
        return TargetNotFound(
            f"no {kinds} {places[0].name!r} in namespace {namespace!r} for {target.service}",
            fix=f"{hint}there are: {', '.join(sorted(names)) or 'none'}",
        )
