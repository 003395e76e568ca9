"""The actuator `kubernetes`: look, patch, wait for the rollout."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from connectors.actuators.kubernetes import changes, workload
from connectors.actuators.kubernetes.client import JSON_PATCH, MERGE, Cluster
from connectors.actuators.kubernetes.workload import LAST_ACTION, LAST_POD, Json, Place, marks_of
from contracts.errors import ActionFailed, ActuatorUnavailable, HomeostatError, OutcomeUnknown, TargetNotFound, suggest
from contracts.ports import Applied, StepRequest, StepResult, Target, TargetState
from contracts.settings import ActSettings

_POLL_S: Final = 0.25
_LISTED: Final = "100"


@dataclass(frozen=True, slots=True)
class _Found:
    """A workload as it was read."""

    place: Place
    body: Json


class KubernetesActuator:
    """Deployments and StatefulSets, found by k8s.* attributes of telemetry, else by name in namespace `default`.

    `scale`: {replicas}. `restart`: {strategy: rolling}, or {strategy: instance, instance?: pod}, which deletes one pod for its
    controller to replace. `rollback`: {version?}: the newest earlier revision (of that image tag), of Deployments.
    """

    name = "kubernetes"
    actions = frozenset({"scale", "restart", "rollback"})

    def __init__(self, settings: ActSettings) -> None:
        self._cluster = Cluster(settings.kube_context)

    async def describe(self, target: Target) -> TargetState:
        """Replicas, version (image tag), the version before, pods."""
        return await self._state(await self._find(target))

    async def apply(self, request: StepRequest) -> StepResult:
        """Patch once, then wait until the rollout is over or `timeout_s` has passed; what was accepted counts as happened."""
        deadline = time.monotonic() + request.timeout_s
        found = await self._find(request.target)
        act = self._act(request)
        if marks_of(found.body).get(LAST_ACTION) == request.key and await self._happened(found, request):
            text = f"{request.action} of {found.place.name} had been done"
        else:
            text = await self._once(act, found, request)
        return await self._settled(found, text, request, deadline)

    async def applied(self, request: StepRequest) -> Applied:
        """By the annotation that the effect leaves; without it NO only if nobody else has changed the workload since."""
        found = await self._find(request.target)
        if marks_of(found.body).get(LAST_ACTION) == request.key:
            return Applied.YES if await self._happened(found, request) else Applied.NO
        return Applied.NO if _untouched(found.body, request) else Applied.UNKNOWN

    async def close(self) -> None:
        """Close connections."""
        await self._cluster.close()

    def _act(self, request: StepRequest) -> Callable[[_Found, StepRequest], Awaitable[str]]:
        if _is_instance(request):
            return self._restart_instance
        known = {"scale": self._scale, "restart": self._restart, "rollback": self._rollback}
        if request.action not in known:
            raise ActionFailed(f"the kubernetes actuator can't {request.action}")
        return known[request.action]

    async def _once(
        self, act: Callable[[_Found, StepRequest], Awaitable[str]], found: _Found, request: StepRequest
    ) -> str:
        """Have the effect. Where the answer leaves it open, the annotation tells."""
        try:
            return await act(found, request)
        except (ActuatorUnavailable, OutcomeUnknown) as e:
            try:
                now = _Found(found.place, await self._cluster.get(found.place.path))
                marked = marks_of(now.body).get(LAST_ACTION) == request.key
                if marked and await self._happened(now, request):
                    return f"{request.action} of {found.place.name} was done ({e})"
            except HomeostatError:
                pass  # it can't be looked at either: the first error says what is known
            raise

    # --- effects

    async def _scale(self, found: _Found, request: StepRequest) -> str:
        if "replicas" not in request.arguments:
            raise ActionFailed("scale needs a number of replicas")
        replicas = int(request.arguments["replicas"])
        await self._cluster.patch(found.place.path, changes.scale(found.body, request.key, replicas), MERGE)
        return f"{found.place.name} scaled to {replicas} (was {workload.wanted(found.body)})"

    async def _restart(self, found: _Found, request: StepRequest) -> str:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        await self._cluster.patch(found.place.path, changes.restart(found.body, request.key, now), MERGE)
        return f"{found.place.name} restarted, one pod after another"

    async def _restart_instance(self, found: _Found, request: StepRequest) -> str:
        name = str(request.arguments.get("instance", ""))
        pods = await self._pods(found)
        pod = workload.pod_to_restart(pods, name)
        if pod is None:
            known = ", ".join(p["metadata"]["name"] for p in pods) or "none"
            raise ActionFailed(f"{found.place.name} has no pod {name}".rstrip(), fix=f"it has: {known}")
        await self._cluster.patch(found.place.path, changes.announce(found.body, request.key, pod), MERGE)
        metadata = pod["metadata"]
        path = f"{found.place.of_namespace('/api/v1', 'pods')}/{metadata['name']}"
        await self._cluster.delete(path, {"preconditions": {"uid": metadata["uid"]}})
        return f"pod {metadata['name']} of {found.place.name} deleted, to be replaced"

    async def _rollback(self, found: _Found, request: StepRequest) -> str:
        if found.place.kind != "deployments":
            raise ActionFailed(f"{found.place.name} is a StatefulSet: only Deployments are rolled back")
        version = str(request.arguments.get("version") or "")
        sets = workload.earlier(found.body, await self._replica_sets(found))
        tagged = [(workload.image_version(s["spec"]["template"]), s) for s in sets]
        chosen = next(((tag, s) for tag, s in tagged if version in {"", tag}), None)
        if chosen is None:
            known = ", ".join(dict.fromkeys(tag for tag, _ in tagged)) or "none"
            raise ActionFailed(f"{found.place.name} has no earlier revision {version}".rstrip(), fix=f"it has: {known}")
        tag, replica_set = chosen
        await self._cluster.patch(found.place.path, changes.rollback(found.body, request.key, replica_set), JSON_PATCH)
        return f"{found.place.name} rolled back to {tag} (revision {workload.revision(replica_set)})"

    # --- looking

    async def _problem(self, found: _Found, request: StepRequest) -> str:
        """What the rollout still waits for; nothing once it is over."""
        try:
            body = await self._cluster.get(found.place.path)
            if not workload.settled(body):
                return workload.progress(body)
            if _is_instance(request):  # its status may be from before the pod was deleted
                serving = sum(workload.ready(p) and not workload.leaving(p) for p in await self._pods(found))
                return (
                    "" if serving >= workload.wanted(body) else f"{serving} of {workload.wanted(body)} pods are ready"
                )
        except HomeostatError as e:
            return str(e)
        return ""

    async def _happened(self, found: _Found, request: StepRequest) -> bool:
        """Whether what the annotation announces is done: at once for a patch, for a pod once it is gone."""
        if not _is_instance(request):
            return True
        uid = marks_of(found.body).get(LAST_POD)
        return all(workload.leaving(p) for p in await self._pods(found) if p["metadata"]["uid"] == uid)

    async def _settled(self, found: _Found, text: str, request: StepRequest, deadline: float) -> StepResult:
        """Wait, and tell. The effect has happened: no failure to look makes it undone."""
        problem = await self._problem(found, request)
        while problem and time.monotonic() + _POLL_S < deadline:
            await asyncio.sleep(_POLL_S)
            problem = await self._problem(found, request)
        try:
            after = await self.describe(request.target)
        except HomeostatError as e:
            return StepResult(f"{text}; its state can't be read: {e}", None, {"settled": False})
        told = text if not problem else f"{text}; not settled yet: {problem}"
        return StepResult(told, after, {"settled": not problem})

    async def _find(self, target: Target) -> _Found:
        """The target's workload. TargetNotFound lists those of its namespace."""
        places = workload.places(target)
        for place in places:
            try:
                return _Found(place, await self._cluster.get(place.path))
            except TargetNotFound:
                continue
        raise await self._unknown(target, places)

    async def _unknown(self, target: Target, places: list[Place]) -> TargetNotFound:
        namespace, names = places[0].namespace, set[str]()
        for place in places:
            try:
                found = await self._cluster.get(place.of_namespace("/apis/apps/v1", place.kind), limit=_LISTED)
            except HomeostatError:
                continue  # it may be forbidden to list: then there is no list to give
            names |= {str(item["metadata"]["name"]) for item in found.get("items", ())}
        close = suggest(places[0].name, sorted(names))
        hint = f"did you mean {close!r}? " if close else ""
        return TargetNotFound(
            f"no Deployment or StatefulSet {places[0].name!r} in namespace {namespace!r} for {target.service}",
            fix=f"{hint}there are: {', '.join(sorted(names)) or 'none'}",
        )

    async def _state(self, found: _Found) -> TargetState:
        sets = await self._replica_sets(found) if found.place.kind == "deployments" else []
        return workload.state_of(found.place, found.body, sets, await self._pods(found))

    async def _replica_sets(self, found: _Found) -> list[Any]:
        return await self._list(found, "/apis/apps/v1", "replicasets")

    async def _pods(self, found: _Found) -> list[Any]:
        return await self._list(found, "/api/v1", "pods")

    async def _list(self, found: _Found, group: str, kind: str) -> list[Any]:
        selector = workload.selector_of(found.body)
        reply = await self._cluster.get(found.place.of_namespace(group, kind), labelSelector=selector)
        return list(reply.get("items") or ())


def _is_instance(request: StepRequest) -> bool:
    return request.action == "restart" and request.arguments.get("strategy") == "instance"


def _untouched(body: Json, request: StepRequest) -> bool:
    """Whether nobody, so not this request either, has changed the workload since the intent was journalled."""
    before = request.before
    if before is None or before.generation != str(body["metadata"].get("generation")):
        return False
    # Deleting a pod is no new generation; but it is announced by an annotation.
    return not _is_instance(request) or before.detail.get("last_action") == marks_of(body).get(LAST_ACTION, "")
