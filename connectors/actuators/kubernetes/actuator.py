"""The workloads of one cluster: look, change once, wait for the rollout."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from connectors.actuators.kubernetes import autoscaler as hpa
from connectors.actuators.kubernetes import changes, ownership, workload
from connectors.actuators.kubernetes.client import JSON_PATCH, Cluster
from connectors.actuators.kubernetes.looking import Found, Look
from connectors.actuators.kubernetes.workload import LAST_ACTION, LAST_POD, Json, marks_of
from connectors.actuators.naming import ensure_meant
from contracts.errors import ActionFailed, ActuatorUnavailable, Conflict, HomeostatError, OutcomeUnknown
from contracts.ports import Applied, Identity, StepRequest, StepResult, Target, TargetState

_POLL_S: Final = 0.25
Effect = Callable[[Found, StepRequest], Awaitable[str]]


class Workloads:
    """Deployments, StatefulSets and DaemonSets of a cluster, found by k8s.* attributes of telemetry, else by name in namespace
    `default`; and what the port `Actuator` wants done with them.

    `scale`: {replicas}; where a HorizontalPodAutoscaler scales it, by the autoscaler's bounds. `restart`: {strategy: rolling}, or
    {strategy: instance, instance?: pod}, which evicts one pod for its controller to replace. `rollback`: {version?}: the newest
    earlier revision (of that image tag).
    """

    def __init__(self, cluster: Cluster, take_over: Collection[str]) -> None:
        self._cluster = cluster
        self._look = Look(cluster)
        self._take_over = frozenset(take_over)

    async def resolve(self, target: Target) -> Identity:
        """The workload that it is, by the cluster's uid and its own."""
        return await self._identity(await self._look.find(target))

    async def describe(self, target: Target) -> TargetState:
        """Replicas, version (image tag), the version before, pods, and what an autoscaler allows."""
        found = await self._look.find(target)
        return replace(await self._look.state(found), identity=await self._identity(found))

    async def apply(self, request: StepRequest) -> StepResult:
        """Change once, then wait until the rollout is over or `timeout_s` has passed; what was accepted counts as happened."""
        deadline = time.monotonic() + request.timeout_s
        effect = self._effect(request)
        found = await self._meant(request)
        if await self._happened(found, request):
            text = f"{request.action} of {found.place.name} had been done"
        else:
            text = await self._once(effect, found, request)
        return await self._settled(found, text, request, deadline)

    async def applied(self, request: StepRequest) -> Applied:
        """By the annotation that the effect leaves; without it NO only if nobody else has changed anything since."""
        try:
            found = await self._meant(request)
        except Conflict:
            return Applied.UNKNOWN  # what it may have happened to is gone
        if await self._happened(found, request):
            return Applied.YES
        if marks_of(found.body).get(LAST_ACTION) == request.key:
            return Applied.NO  # announced, and then not done
        return Applied.NO if await self._untouched(found, request) else Applied.UNKNOWN

    async def _identity(self, found: Found) -> Identity:
        return workload.identity_of(f"kubernetes:{await self._cluster.uid()}", found.place, found.body)

    async def _meant(self, request: StepRequest) -> Found:
        """The workload that the request is about. Every change carries the uid read here, so that it stays this one."""
        found = await self._look.find(request.target)
        ensure_meant(request, await self._identity(found))
        return found

    def _effect(self, request: StepRequest) -> Effect:
        if _is_instance(request):
            return self._restart_instance
        known: dict[str, Effect] = {"scale": self._scale, "restart": self._restart, "rollback": self._rollback}
        if request.action not in known:
            raise ActionFailed(f"the kubernetes actuator can't {request.action}")
        return known[request.action]

    async def _once(self, effect: Effect, found: Found, request: StepRequest) -> str:
        """Have the effect. Where the answer leaves it open, the annotation tells."""
        try:
            return await effect(found, request)
        except (ActuatorUnavailable, OutcomeUnknown) as e:
            try:
                if await self._happened(await self._look.again(found), request):
                    return f"{request.action} of {found.place.name} was done ({e})"
            except HomeostatError:
                pass  # it can't be looked at either: the first error says what is known
            raise

    # --- effects

    async def _scale(self, found: Found, request: StepRequest) -> str:
        name = found.place.name
        if found.place.kind == "daemonsets":
            raise ActionFailed(f"{name} is a DaemonSet: it has one pod per node and is not scaled")
        if "replicas" not in request.arguments:
            raise ActionFailed("scale needs a number of replicas")
        replicas, was = int(request.arguments["replicas"]), workload.wanted(found.body)
        scaler = await self._look.autoscaler(found)
        if scaler is not None:
            return await self._bound(found, scaler, request.key, replicas)
        ownership.ensure_free(found.body, ownership.REPLICAS, self._take_over)
        await self._cluster.apply(found.place.path, changes.scale(found.body, request.key, replicas))
        return f"{name} scaled to {replicas} (was {was})"

    async def _bound(self, found: Found, scaler: Json, key: str, replicas: int) -> str:
        if marks_of(scaler).get(LAST_ACTION) == key:  # by another worker, since it was looked at
            return f"scale of {found.place.name} had been done"
        bounds, words = hpa.asked(scaler, replicas)
        for field in hpa.spec_of(bounds, with_most=bounds.most != hpa.bounds_of(scaler).most):
            ownership.ensure_free(scaler, ("spec", field), self._take_over)
        await self._cluster.apply(hpa.path_of(found.place, scaler), changes.bound(scaler, key, bounds))
        return f"{found.place.name} is scaled by its autoscaler: {words}"

    async def _restart(self, found: Found, request: StepRequest) -> str:
        _ensure_rolls_out(found)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        await self._cluster.apply(found.place.path, changes.restart(found.body, request.key, now))
        return f"{found.place.name} restarted, one pod after another"

    async def _restart_instance(self, found: Found, request: StepRequest) -> str:
        name = str(request.arguments.get("instance", ""))
        pods = await self._look.pods(found)
        pod = workload.pod_to_restart(pods, name)
        if pod is None:
            known = ", ".join(p["metadata"]["name"] for p in pods) or "none"
            raise ActionFailed(f"{found.place.name} has no pod {name}".rstrip(), fix=f"it has: {known}")
        await self._cluster.apply(found.place.path, changes.announce(found.body, request.key, pod))
        path = found.place.of_namespace("/api/v1", "pods", str(pod["metadata"]["name"]), "eviction")
        await self._cluster.create(path, changes.eviction(pod))
        return f"pod {pod['metadata']['name']} of {found.place.name} evicted, to be replaced"

    async def _rollback(self, found: Found, request: StepRequest) -> str:
        _ensure_rolls_out(found)
        version, name = str(request.arguments.get("version") or ""), found.place.name
        past = await self._look.history(found)
        to = past.find(version)
        if to is None:
            known = ", ".join(dict.fromkeys(r.version for r in past.earlier)) or "none"
            raise ActionFailed(f"{name} has no earlier revision {version}".rstrip(), fix=f"it has: {known}")
        ownership.ensure_free(found.body, ownership.TEMPLATE, self._take_over)
        await self._cluster.patch(found.place.path, changes.rollback(found.body, request.key, to), JSON_PATCH)
        return f"{name} rolled back to {to.version} (revision {to.number})"

    # --- looking

    async def _problem(self, found: Found, request: StepRequest) -> str:
        """What the rollout still waits for; nothing once it is over."""
        try:
            now = await self._look.again(found)
            wanted = workload.wanted(now.body)
            if request.action == "scale" and wanted < (asked := int(request.arguments["replicas"])):
                return f"{wanted} of {asked} replicas are asked for so far"
            if not workload.settled(now.body):
                return workload.progress(now.body)
            if _is_instance(request):  # its status may be from before the pod was evicted
                pods = await self._look.pods(now)
                serving = sum(workload.ready(p) and not workload.leaving(p) for p in pods)
                return "" if serving >= wanted else f"{serving} of {wanted} pods are ready"
        except HomeostatError as e:
            return str(e)
        return ""

    async def _happened(self, found: Found, request: StepRequest) -> bool:
        """Whether the key is where its effect leaves it; a pod that it announces must be gone, too."""
        if marks_of(found.body).get(LAST_ACTION) == request.key:
            if not _is_instance(request):
                return True
            uid = marks_of(found.body).get(LAST_POD)
            return all(workload.leaving(p) for p in await self._look.pods(found) if p["metadata"]["uid"] == uid)
        if request.action != "scale":
            return False
        scaler = await self._look.autoscaler(found)
        return scaler is not None and marks_of(scaler).get(LAST_ACTION) == request.key

    async def _untouched(self, found: Found, request: StepRequest) -> bool:
        """Whether nobody, so not this request either, has changed the workload since the intent was journalled."""
        before, body = request.before, found.body
        if before is None or before.generation != str(body["metadata"].get("generation")):
            return False
        if request.action == "scale":
            told = hpa.told(await self._look.autoscaler(found), LAST_ACTION)
            return before.detail.get("autoscaler", "") == told
        # Evicting a pod is no new generation; but it is announced by an annotation.
        return not _is_instance(request) or before.detail.get("last_action") == marks_of(body).get(LAST_ACTION, "")

    async def _settled(self, found: Found, text: str, request: StepRequest, deadline: float) -> StepResult:
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


def _is_instance(request: StepRequest) -> bool:
    return request.action == "restart" and request.arguments.get("strategy") == "instance"


def _ensure_rolls_out(found: Found) -> None:
    """Would a new template be rolled out at all?

    Raises:
        ActionFailed: not now.
    """
    spec, name = found.body["spec"], found.place.name
    if spec.get("paused"):
        raise ActionFailed(
            f"{name} is paused: nothing would be rolled out", fix="kubectl rollout resume, or a person looks"
        )
    if spec.get("updateStrategy", {}).get("type") == "OnDelete":
        raise ActionFailed(
            f"{name} has updateStrategy OnDelete: nothing would be rolled out", fix="restart single pods"
        )
