"""Reading a workload and what belongs to it: nothing here changes anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors import paths
from connectors.actuators.kubernetes import autoscaler as hpa
from connectors.actuators.kubernetes import disruption, owners, workload
from connectors.actuators.kubernetes.allowed import CANARY, Rules, WorkloadState, matter, refusals
from connectors.actuators.kubernetes.client import Cluster
from connectors.actuators.kubernetes.namesakes import controller_of, several
from connectors.actuators.kubernetes.revisions import RevisionHistory, history_of
from connectors.actuators.kubernetes.workload import LAST_ACTION, Json, WorkloadPath, marks_of
from contracts.claims import CHOSEN
from contracts.errors import Forbidden, HomeostatError, InvalidTarget, TargetNotFound, suggest
from contracts.ports import Target, TargetState

_LISTED: Final = "100"
_LATELY_S: Final = 10.0
"""The workloads of a namespace are listed no more often, however many services are known by their name alone."""
_OF_APPS: Final = ("deployments", "statefulsets", "daemonsets")
_POD_UID: Final = "k8s.pod.uid"
_POD_NAME: Final = "k8s.pod.name"
_APPS: Final = "/apis/apps/v1"
_POLICY: Final = "/apis/policy/v1"


@dataclass(frozen=True, slots=True)
class Found:
    """A workload as it was read."""

    place: WorkloadPath
    body: Json


class WorkloadReader:
    """Questions to one cluster. Raises as `Cluster.get`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def find(self, target: Target) -> Found:
        """The target's workload. TargetNotFound lists those of its namespace; InvalidTarget: there are several, or it isn't shown that it
        is the one."""
        told = workload.told_places(target)
        if not told and (found := await self._of_pod(target)) is not None:
            return found
        meant = await self._named(target, told or workload.places(target))
        if not told:
            await self._ensure_only(target, meant)
        if CHOSEN in target.attributes and not await self._runs(meant, target.attributes.get(_POD_UID, "")):
            raise InvalidTarget(
                f"{target.service} is several workloads, and it can't be shown that {meant.place.name} is the sick one: the pod that "
                "telemetry names is none of its own"
            )
        return meant

    async def _named(self, target: Target, places: list[WorkloadPath]) -> Found:
        """What is at one of these places."""
        found = list[Found]()
        for place in places:
            try:
                found.append(await self._read(place))
            except TargetNotFound:
                continue
        found, unread = await self._rolled(places, found)
        if len(found) > 1:
            both = " and ".join(f"{workload.KINDS[f.place.kind]} {f.place.name}" for f in found)
            raise InvalidTarget(f"{target.service} may be {both} in namespace {found[0].place.namespace}")
        if not found:
            raise await self._unknown(target, places, unread)
        return found[0]

    async def _of_pod(self, target: Target) -> Found | None:
        """The workload of the pod that telemetry names; None where it names none, or it is gone."""
        name, uid = target.attributes.get(_POD_NAME, ""), target.attributes.get(_POD_UID, "")
        if not name:
            return None
        namespace = paths.label(workload.namespace_of(target), "namespace")
        one: Json | None = await self._only(namespace, "/api/v1", "pods", paths.subdomain(name, "Pod"))
        if one is None or uid not in ("", one["metadata"]["uid"]):
            return None
        owner = controller_of(one)
        if owner is not None and owner["kind"] == "ReplicaSet":
            one = await self._only(namespace, _APPS, "replicasets", str(owner["name"]))
            owner = None if one is None else controller_of(one)
        place = None if owner is None else workload.place_of(namespace, str(owner["kind"]), str(owner["name"]))
        if owner is None or place is None:
            whose = "nothing" if owner is None else f"{owner['kind']} {owner['name']}"
            raise InvalidTarget(f"pod {name} of {target.service} is controlled by {whose}: there is nothing to act on")
        found = await self._read(place)
        if found.body["metadata"]["uid"] != owner["uid"]:
            raise InvalidTarget(f"pod {name} of {target.service} belongs to another {owner['kind']} than is there now")
        return found

    async def _only(self, namespace: str, group: str, kind: str, name: str) -> Json | None:
        """One object by its name, which the right to list is enough for; None where it isn't there."""
        path = group + paths.path("namespaces", namespace, kind)
        reply = await self._cluster.get(path, fieldSelector=f"metadata.name={name}")
        return next((i for i in reply.get("items") or () if i["metadata"]["name"] == name), None)

    async def _ensure_only(self, target: Target, found: Found) -> None:
        """Nobody else in its namespace calls itself by the name that is all that telemetry tells."""
        name, listed = target.service.rpartition("/")[2], list[tuple[str, Json]]()
        for kind in _OF_APPS:
            reply = await self._cluster.lately(found.place.of_namespace(_APPS, kind), _LATELY_S)
            listed += [(workload.KINDS[kind], item) for item in reply.get("items") or ()]
        rivals = [r for r in several(name, listed) if r != (workload.KINDS[found.place.kind], found.place.name)]
        if rivals:
            all_of = [(workload.KINDS[found.place.kind], found.place.name), *rivals]
            raise InvalidTarget(
                f"{target.service} may be {' or '.join(' '.join(r) for r in all_of)} in namespace {found.place.namespace}",
                fix="its telemetry should name its workload or its pods: k8s.deployment.name, or k8s.pod.name and k8s.pod.uid",
            )

    async def _runs(self, found: Found, uid: str) -> bool:
        """Whether a pod is a workload's own."""
        return any(p["metadata"]["uid"] == uid for p in await self.pods(found))

    async def _rolled(self, places: Sequence[WorkloadPath], found: list[Found]) -> tuple[list[Found], str]:
        """With the Rollout of Argo that is meant where a Deployment is named that there isn't, or that only lends its template:
        the Collector takes the owner of a ReplicaSet for a Deployment. And why there is none, where that can't be told."""
        of = next((p for p in places if p.kind == "deployments"), None)
        lends = [f for f in found if f.place == of and owners.REFERENCED in marks_of(f.body)]
        if of is None or (found and not lends):
            return found, ""
        place = WorkloadPath(of.namespace, workload.ROLLOUTS, of.name)
        try:
            rollout = await self._read(place)
        except TargetNotFound:
            return found, ""
        except Forbidden as e:  # without the right to read them there are none to act on
            return found, f"; a Rollout of Argo may be meant, but {e.fix or e}"
        lent = (rollout.body["spec"].get("workloadRef") or {}).get("name")
        if lends and lent != of.name:
            return found, ""
        return [*(f for f in found if f not in lends), rollout], ""

    async def facts(self, found: Found) -> WorkloadState:
        """What stands around it, as far as it decides on what may be done."""
        return WorkloadState(
            found.place,
            found.body,
            scalers=await self.autoscalers(found),
            primary=await self._primary(found),
            budgets=await self._budgets(found) if matter(found.body) else None,
        )

    async def _primary(self, found: Found) -> Json | None:
        """What Flagger runs in the stead of this one, if it does."""
        if found.place.kind not in ("deployments", "daemonsets"):
            return None
        try:
            place = WorkloadPath(found.place.namespace, found.place.kind, f"{found.place.name}-primary")
            beside = await self._cluster.get(place.path)
        except (TargetNotFound, InvalidTarget):
            return None
        return beside if any(o.kind == CANARY for o in owners.owners_of(beside)) else None

    async def _budgets(self, found: Found) -> Sequence[Json] | HomeostatError:
        try:
            return await self.budgets(found, workload.template_of(found.body))
        except HomeostatError as e:
            return e

    async def budgets(self, found: Found, of: Json) -> list[Json]:
        """The disruption budgets that are about a pod, or about those of a template."""
        try:
            reply = await self._cluster.get(found.place.of_namespace(_POLICY, "poddisruptionbudgets"))
        except TargetNotFound:
            return []
        return disruption.budgets_of({"metadata": {}, **of}, reply.get("items") or ())

    async def again(self, found: Found) -> Found:
        """The same workload as it is now."""
        return await self._read(found.place)

    async def _read(self, place: WorkloadPath) -> Found:
        """The workload at a place. InvalidTarget where what is there says nothing of what it runs: another kind's schema, or a
        proxy's answer."""
        body = await self._cluster.get(place.path)
        if not isinstance(body.get("spec"), dict) or not (body.get("metadata") or {}).get("uid"):
            raise InvalidTarget(
                f"{workload.KINDS[place.kind]} {place.name} in namespace {place.namespace} has no spec or uid"
            )
        return Found(place, body)

    async def state(self, found: Found, rules: Rules) -> TargetState:
        """As the port wants it."""
        body, kept, facts = found.body, await self._kept(found), await self.facts(found)
        past, scaler = history_of(body, kept), next(iter(facts.scalers), None)
        taken = disruption.taken_at_once(body)
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
                "roll_out": disruption.words(taken, workload.serving(body)),
            },
            most=None if scaler is None else hpa.bounds_of(scaler).limit,
            disrupts=taken,
            refusals=refusals(facts, rules),
            acted=workload.acted_of((body, *facts.scalers)),
        )

    async def history(self, found: Found) -> RevisionHistory:
        """Its revisions."""
        return history_of(found.body, await self._kept(found))

    async def pods(self, found: Found) -> list[Json]:
        """The pods it controls; others that its selector happens to match are not its own."""
        kept = await self._kept(found) if found.place.keeps_sets else []
        return self._of(found, kept, await self._list(found, "/api/v1", "pods"))

    async def autoscaler(self, found: Found) -> Json | None:
        """The HorizontalPodAutoscaler that scales it, if any."""
        return next(iter(await self.autoscalers(found)), None)

    async def autoscalers(self, found: Found) -> list[Json]:
        """All that are about it: several would be somebody's mistake."""
        if found.place.kind == "daemonsets":
            return []
        reply = await self._cluster.get(found.place.of_namespace(hpa.GROUP, hpa.KIND))
        several = hpa.of_workload(reply.get("items") or (), found.place, workload.KINDS[found.place.kind])
        # Items of a list don't say what they are.
        return [{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", **one} for one in several]

    async def _kept(self, found: Found) -> list[Any]:
        kind = "replicasets" if found.place.keeps_sets else "controllerrevisions"
        return await self._list(found, _APPS, kind)

    @staticmethod
    def _of(found: Found, kept: Sequence[Json], pods: Sequence[Json]) -> list[Json]:
        over = workload.owned(kept, found.body) if found.place.keeps_sets else [found.body]
        uids = {o["metadata"]["uid"] for o in over}
        return [p for p in pods if any(r["uid"] in uids for r in p["metadata"].get("ownerReferences") or ())]

    async def _list(self, found: Found, group: str, kind: str) -> list[Any]:
        selector = workload.selector_of(found.body)
        reply = await self._cluster.get(found.place.of_namespace(group, kind), labelSelector=selector)
        return list(reply.get("items") or ())

    async def _unknown(self, target: Target, places: list[WorkloadPath], unread: str) -> TargetNotFound:
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
            fix=f"{hint}there are: {', '.join(sorted(names)) or 'none'}{unread}",
        )
