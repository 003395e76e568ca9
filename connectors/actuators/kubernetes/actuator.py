"""The workloads of one cluster: look, change once, wait for the rollout."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from connectors import paths
from connectors.actuators.kubernetes import autoscaler as hpa
from connectors.actuators.kubernetes import changes, disruption, owners, ownership, workload
from connectors.actuators.kubernetes.allowed import (
    EVICTION,
    NOTHING,
    ROLL_BACK,
    ROLLING_RESTART,
    SCALING,
    Rules,
    ensure,
)
from connectors.actuators.kubernetes.client import JSON_PATCH, Cluster
from connectors.actuators.kubernetes.nodes_aside import NodesAside
from connectors.actuators.kubernetes.revisions import Revision
from connectors.actuators.kubernetes.workload import LAST_ACTION, LAST_POD, Json, marks_of
from connectors.actuators.kubernetes.workload_reader import Found, WorkloadReader
from connectors.actuators.naming import ensure_meant
from connectors.kubernetes.failures import SEVERAL_BUDGETS
from contracts.actions import action_of
from contracts.actions.drain import ASIDE, BACK
from contracts.errors import ActionFailed, ActuatorUnavailable, Conflict, HomeostatError, OutcomeUnknown
from contracts.ports import Applied, Identity, StepRequest, StepResult, Target, TargetState, ensure_alone

_POLL_S: Final = 0.25
_BY_EVICTION: Final = frozenset({EVICTION, ASIDE})
STATUS_RACES: Final = 20
"""How often its controller may be faster than a roll-back."""
Effect = Callable[[Found, StepRequest], Awaitable[str]]


class Workloads:
    """Deployments, StatefulSets, DaemonSets and Rollouts (of Argo) of a cluster, found by k8s.* attributes of telemetry, else by name in namespace
    `default`; and what the port `Actuator` wants done with them.

    `scale`: {replicas}; where a HorizontalPodAutoscaler scales it, by the autoscaler's bounds. `restart`: {strategy: rolling}, or
    {strategy: instance, instance?: pod}, which evicts one pod for its controller to replace. `rollback`: {version?}: the newest
    earlier revision (of that image tag). `drain`: {node or zone, set}: cordons the node (all nodes of the zone) and evicts the workload's own pods there, one after another;
    `set: back` uncordons one that was set aside so.
    """

    def __init__(self, cluster: Cluster, rules: Rules) -> None:
        self._cluster = cluster
        self._look = WorkloadReader(cluster)
        self._nodes = NodesAside(cluster)
        self._rules = rules

    async def resolve(self, target: Target) -> Identity:
        """The workload that it is, by the cluster's uid and its own."""
        return await self._identity(await self._look.find(target))

    async def describe(self, target: Target) -> TargetState:
        """Replicas, version (image tag), the version before, pods, and what an autoscaler allows."""
        found = await self._look.find(target)
        return replace(await self._look.state(found, self._rules), identity=await self._identity(found))

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
        known: dict[str, Effect] = {
            SCALING: self._scale,
            ROLLING_RESTART: self._restart,
            EVICTION: self._restart_instance,
            ASIDE: self._drain,
            BACK: self._give_back,
            ROLL_BACK: self._rollback,
        }
        effect = known.get(_effect_of(request))
        if effect is None:
            raise ActionFailed(f"the kubernetes actuator can't {request.action}")
        return effect

    async def _once(self, effect: Effect, found: Found, request: StepRequest) -> str:
        """Have the effect, if whoever decides on the workload lets us. Where the answer leaves it open, the annotation tells."""
        facts = await self._look.facts(found)
        ensure(_effect_of(request), facts, self._rules)
        ensure_alone(request, workload.acted_of((found.body, *facts.scalers)))
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
        if "replicas" not in request.arguments:
            raise ActionFailed("scale needs a number of replicas")
        replicas, was = int(request.arguments["replicas"]), workload.wanted(found.body)
        scaler = await self._look.autoscaler(found)
        if scaler is not None:
            return await self._bound(found, scaler, request, replicas)
        await self._cluster.apply(found.place.path, changes.scale(found.body, request.key, replicas, _by(request)))
        return f"{name} scaled to {replicas} (was {was})"

    async def _bound(self, found: Found, scaler: Json, request: StepRequest, replicas: int) -> str:
        key = request.key
        ensure_alone(request, workload.acted_of((found.body, scaler)))
        if marks_of(scaler).get(LAST_ACTION) == key:  # by another worker, since it was looked at
            return f"scale of {found.place.name} had been done"
        bounds, words = hpa.asked(scaler, replicas)
        for field in hpa.spec_of(bounds, with_most=bounds.most != hpa.bounds_of(scaler).most):
            ownership.ensure_free(scaler, ("spec", field), self._rules.take_over)
            owners.ensure_not_declared(scaler, ("spec", field), self._rules.take_over)
        await self._cluster.apply(hpa.path_of(found.place, scaler), changes.bound(scaler, key, bounds, _by(request)))
        return f"{found.place.name} is scaled by its autoscaler: {words}"

    async def _restart(self, found: Found, request: StepRequest) -> str:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        await self._cluster.apply(found.place.path, changes.restart(found.body, request.key, now, _by(request)))
        taken, ready = disruption.taken_at_once(found.body), workload.serving(found.body)
        how = disruption.words(taken, ready) if taken >= ready > 0 else "one pod after another"
        return f"{found.place.name} restarted, {how}"

    async def _restart_instance(self, found: Found, request: StepRequest) -> str:
        name = str(request.arguments.get("instance", ""))
        pods = await self._look.pods(found)
        pod = workload.pod_to_restart(pods, name)
        if pod is None:
            known = ", ".join(p["metadata"]["name"] for p in pods) or "none"
            raise ActionFailed(f"{found.place.name} has no pod {name}".rstrip(), fix=f"it has: {known}")
        await self._evict(found, request, pod)
        return f"pod {pod['metadata']['name']} of {found.place.name} evicted, to be replaced"

    async def _drain(self, found: Found, request: StepRequest) -> str:
        """Set the node (all nodes of the zone) aside first, so that nothing comes back; then each pod goes once as many serve as before."""
        deadline, (where, nodes) = time.monotonic() + request.timeout_s, await self._drained(request)
        pods = await self._on(found, nodes)
        if not pods:
            raise ActionFailed(f"{found.place.name} has no pod {where}", reason=NOTHING)
        last = workload.serving(found.body) <= 1 and disruption.taken_at_once(found.body) == 0
        if last:  # a roll-out starts its successor first, where evicting it would be an outage
            ensure(ROLLING_RESTART, await self._look.facts(found), self._rules)
        said = await self._nodes.set_all_aside(nodes, request.key)
        if last:
            return f"{said}; {await self._restart(await self._look.again(found), request)}"
        for moved, pod in enumerate(pods):
            if moved and await self._awaited(found, request, deadline):
                return f"{said}; {moved} of {len(pods)} pods of {found.place.name} evicted so far"
            try:
                await self._evict(await self._look.again(found), request, pod)
            except ActionFailed:
                for node in () if moved else nodes:  # nothing came of it: the nodes are as they were
                    await self._nodes.give_back(node, request.key)
                raise
        return f"{said}; {len(pods)} {'pod' if len(pods) == 1 else 'pods'} of {found.place.name} evicted from it"

    async def _drained(self, request: StepRequest) -> tuple[str, list[str]]:
        """Where a request means, in words, and by the nodes' names."""
        zone, node = (str(request.arguments.get(key) or "") for key in ("zone", "node"))
        if zone:
            return f"in zone {paths.shown(zone)}", await self._nodes.in_zone(zone)
        return f"on node {paths.shown(node)}", [node]

    async def _on(self, found: Found, nodes: Sequence[str]) -> list[Json]:
        """Its pods on nodes that are to be there, those that don't serve first."""
        pods = [
            p for p in await self._look.pods(found) if p["spec"].get("nodeName") in nodes and not workload.leaving(p)
        ]
        return sorted(pods, key=lambda p: (workload.ready(p), str(p["metadata"]["name"])))

    async def _give_back(self, found: Found, request: StepRequest) -> str:
        del found
        _, nodes = await self._drained(request)
        return "; ".join([await self._nodes.give_back(node) for node in nodes])

    async def _evict(self, found: Found, request: StepRequest, pod: Json) -> None:
        await self._cluster.apply(found.place.path, changes.announce(found.body, request.key, pod, _by(request)))
        path = found.place.of_namespace("/api/v1", "pods", str(pod["metadata"]["name"]), "eviction")
        try:
            await self._cluster.create(path, changes.eviction(pod))
        except ActionFailed as e:
            raise await self._named(e, found, pod) from e

    async def _named(self, error: ActionFailed, found: Found, pod: Json) -> ActionFailed:
        """A refusal because of several budgets with their names, which the API server does not give."""
        if error.reason != SEVERAL_BUDGETS:
            return error
        try:
            several = disruption.names(await self._look.budgets(found, pod)) or "unknown"
        except HomeostatError as e:
            several = f"unknown ({e})"
        text = (
            f"several PodDisruptionBudgets are about pod {pod['metadata']['name']}, so it can't be evicted: {several}"
        )
        return ActionFailed(text, reason="disruption_budget", fix="leave one of them")

    async def _rollback(self, found: Found, request: StepRequest) -> str:
        version, name = str(request.arguments.get("version") or ""), found.place.name
        past = await self._look.history(found)
        to = past.find(version)
        if to is None:
            known = ", ".join(dict.fromkeys(r.version for r in past.earlier)) or "none"
            raise ActionFailed(f"{name} has no earlier revision {version}".rstrip(), fix=f"it has: {known}")
        await self._replace_template(found, request, to)
        return f"{name} rolled back to {to.version} (revision {to.number})"

    async def _replace_template(self, found: Found, request: StepRequest, to: Revision) -> None:
        """Put an earlier template in the place of the one that was read. Its controller writes status and
        annotations all the time: where nothing else was changed it is tried again; what anybody wants otherwise by now is left alone
        (Conflict)."""
        for race in range(1, STATUS_RACES + 1):
            try:
                ensure_alone(request, workload.acted_of((found.body,)))
                patch = changes.rollback(found.body, request.key, to, _by(request))
                await self._cluster.patch(found.place.path, patch, JSON_PATCH)
            except Conflict:
                read, found = found, await self._look.again(found)
                if race == STATUS_RACES or _spec_of(read) != _spec_of(found):
                    raise
            else:
                return

    # --- looking

    async def _problem(self, found: Found, request: StepRequest) -> str:
        """What the rollout still waits for; nothing once it is over."""
        try:
            now = await self._look.again(found)
            wanted = workload.wanted(now.body)
            asked = action_of(request.action).replicas(request.arguments)
            if asked is not None and wanted < asked:
                return f"{wanted} of {asked} replicas are asked for so far"
            if not workload.settled(now.body):
                return workload.progress(now.body)
            if _effect_of(request) in _BY_EVICTION:  # its status may be from before the pod was evicted
                pods = await self._look.pods(now)
                serving = sum(workload.ready(p) and not workload.leaving(p) for p in pods)
                return "" if serving >= wanted else f"{serving} of {wanted} pods are ready"
        except HomeostatError as e:
            return str(e)
        return ""

    async def _awaited(self, found: Found, request: StepRequest, deadline: float) -> str:
        """What the rollout still waits for at the deadline; "" as soon as it is over."""
        problem = await self._problem(found, request)
        while problem and time.monotonic() + _POLL_S < deadline:
            await asyncio.sleep(_POLL_S)
            problem = await self._problem(found, request)
        return problem

    async def _happened(self, found: Found, request: StepRequest) -> bool:
        """Whether the key is where its effect leaves it; a pod that it announces must be gone, too."""
        if marks_of(found.body).get(LAST_ACTION) == request.key:
            if _effect_of(request) not in _BY_EVICTION:
                return True
            if _effect_of(request) == ASIDE and await self._on(found, (await self._drained(request))[1]):
                return False
            uid = marks_of(found.body).get(LAST_POD)
            return all(workload.leaving(p) for p in await self._look.pods(found) if p["metadata"]["uid"] == uid)
        if _effect_of(request) != SCALING:
            return False
        scaler = await self._look.autoscaler(found)
        return scaler is not None and marks_of(scaler).get(LAST_ACTION) == request.key

    async def _untouched(self, found: Found, request: StepRequest) -> bool:
        """Whether nobody, so not this request either, has changed the workload since the intent was journalled."""
        before, body = request.before, found.body
        if before is None or before.generation != str(body["metadata"].get("generation")):
            return False
        if _effect_of(request) == SCALING:
            told = hpa.told(await self._look.autoscaler(found), LAST_ACTION)
            return before.detail.get("autoscaler", "") == told
        # Evicting a pod is no new generation; but it is announced by an annotation.
        return _effect_of(request) not in _BY_EVICTION or before.detail.get("last_action") == marks_of(body).get(
            LAST_ACTION, ""
        )

    async def _settled(self, found: Found, text: str, request: StepRequest, deadline: float) -> StepResult:
        """Wait, and tell. The effect has happened: no failure to look makes it undone."""
        problem = await self._awaited(found, request, deadline)
        try:
            after = await self.describe(request.target)
        except HomeostatError as e:
            return StepResult(f"{text}; its state can't be read: {e}", None, {"settled": False})
        told = text if not problem else f"{text}; not settled yet: {problem}"
        return StepResult(told, after, {"settled": not problem})


def _by(request: StepRequest) -> str:
    """The mark that it leaves."""
    return "" if request.mark is None else request.mark.text


def _effect_of(request: StepRequest) -> str:
    """What it is called in `allowed`."""
    return action_of(request.action).variant(request.arguments)


def _spec_of(found: Found) -> tuple[object, object]:
    """Which object it is, and what is wanted of it."""
    return found.body["metadata"]["uid"], found.body["spec"]
