"""The actuator `kubernetes` on a real API server, with exactly the rights that deploy/kubernetes/base/rbac.yaml gives.

The contract suite runs on Deployments, StatefulSets and what an autoscaler scales; then what only a real server can show: who owns
which field, what optimistic locking catches, what disruption budgets and RBAC forbid.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from connectors.actuators.kubernetes import KubernetesActuator, changes, client
from connectors.actuators.kubernetes import autoscaler as hpa
from connectors.actuators.kubernetes.workload_reader import WorkloadReader
from contracts.actions import action_of
from contracts.checks import actuator as checks
from contracts.errors import ActionFailed, Conflict, Forbidden, TargetNotFound
from contracts.ports import Applied, StepRequest, Target
from contracts.retry import every, quiet, retrying, within
from contracts.settings import ActSettings, BindingSettings
from tests.patience import PATIENCE_S
from tests.services import workloads as w
from tests.services.kubelet.api import Api
from tests.services.servers.cluster import Cluster

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)
_NUMBERS: Final = itertools.count(1)
PLURALS: Final = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
INSTANCE: Final = {"strategy": "instance"}
ENVIRONMENT: Final = "production"
BOUND: Final = {ENVIRONMENT: BindingSettings()}


@dataclass
class World:
    """A namespace of its own in the cluster, acted in by the user `homeostat`."""

    api: Api
    namespace: str
    gone: set[str] = field(default_factory=set)
    pods: set[str] = field(default_factory=set)

    def path(self, plural: str, name: str = "", group: str = w.APPS) -> str:
        """Path of a kind's objects here, or of one."""
        return f"{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def target(self, name: str = "cart", kind: str = "Deployment") -> Target:
        """What telemetry would say of it."""
        attributes = {"k8s.namespace.name": self.namespace, f"k8s.{kind.lower()}.name": name}
        return Target(ENVIRONMENT, f"shop/{name}", attributes)

    async def add(self, kind: str = "Deployment", name: str = "cart", **settings: Any) -> str:
        """A workload with two revisions, 1.4.2 and 1.5.0, rolled out; its path."""
        await self.api.create(self.path(PLURALS[kind]), w.workload(kind, name, f"shop/{name}:1.4.2", **settings))
        path = self.path(PLURALS[kind], name)
        await w.rolled_out(self.api, path)
        image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": f"shop/{name}:1.5.0"}]
        await self.api.patch(path, image, "application/json-patch+json")
        await w.rolled_out(self.api, path)
        return path

    async def generation(self, path: str) -> int:
        """How often somebody has changed what is wanted."""
        return int((await self.api.get(path))["metadata"]["generation"])

    async def removed(self) -> int:
        """How many pods have gone since this was first asked."""
        alive = {
            p["metadata"]["uid"]
            for p in await self.api.items(self.path("pods", group="/api/v1"))
            if "deletionTimestamp" not in p["metadata"]
        }
        self.gone |= self.pods - alive
        self.pods |= alive
        return len(self.gone)


@pytest.fixture
async def world(cluster_with_kwok: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("KUBECONFIG", str(cluster_with_kwok.kubeconfig("homeostat")))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with Api(cluster_with_kwok.kubeconfig("admin")) as api:
        if not await w.exists(api, "/api/v1/nodes/acted-on-0"):
            await cluster_with_kwok.add_nodes(1, "acted-on")
            await w.let_act(api, "default")  # where a target without attributes is looked for
        here = World(api, f"act-{next(_NUMBERS)}")
        await w.namespace(api, here.namespace)
        await w.let_act(api, here.namespace)
        yield here
        await api.delete(f"/api/v1/namespaces/{here.namespace}")


@pytest.fixture
async def actuator(world: World) -> AsyncIterator[KubernetesActuator]:
    opened = _opened()
    yield opened
    await opened.close()


async def step(
    actuator: KubernetesActuator, target: Target, action: str, key: str = "run/step/1", **arguments: Any
) -> StepRequest:
    """A request, with the state before it. Its timeout is generous: the machine may be busy."""
    before = await actuator.describe(target)
    return StepRequest(key, "run-1", "step-1", action, target, arguments, before, 60.0, before.identity)


def subject(
    world: World, target: Target, effects: Callable[[], Awaitable[int]], **arguments: dict[str, Any]
) -> checks.Subject:
    return checks.Subject(_opened, target, effects, arguments, unlisted="namespace 'default'")


def _opened() -> KubernetesActuator:
    return KubernetesActuator(ActSettings(environments=BOUND))


# --- the contract

WHOLE: Final[dict[str, dict[str, Any]]] = {
    "scale": {"replicas": 3},
    "restart": {"strategy": "rolling"},
    "rollback": {"version": "1.4.2"},
}
ACTING: Final = tuple(c for c in checks.CHECKS if c is not checks.check_says_what_it_can)
ALL: Final = WHOLE | {"drain": {"node": "acted-on-0"}}
"""What it says it can. What a node is drained of is not the target's own object, by which effects are counted here."""


@pytest.mark.parametrize("check", checks.CHECKS)
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
async def test_checks(kind: str, check: checks.Check, world: World) -> None:
    path = await world.add(kind)
    able = WHOLE if check in ACTING else ALL
    await check(subject(world, world.target(kind=kind), lambda: world.generation(path), **able))


@pytest.mark.parametrize("check", ACTING)
async def test_checks_of_a_daemon_set(check: checks.Check, world: World) -> None:
    path = await world.add("DaemonSet")
    able = {k: v for k, v in WHOLE.items() if k != "scale"}
    await check(subject(world, world.target(kind="DaemonSet"), lambda: world.generation(path), **able))


@pytest.mark.parametrize("check", ACTING)
async def test_checks_of_restarting_one_pod(check: checks.Check, world: World) -> None:
    await world.add()
    await check(subject(world, world.target(), world.removed, restart=INSTANCE))


@pytest.mark.parametrize("check", ACTING)
async def test_checks_of_what_is_autoscaled(check: checks.Check, world: World) -> None:
    path = await world.add()
    await world.api.create(world.path(hpa.KIND, group=hpa.GROUP), w.autoscaler("cart", 2, 5))
    await check(subject(world, world.target(), lambda: world.generation(path), scale={"replicas": 4}))


# --- fields, and whose they are


async def test_our_fields_are_ours_and_stay(world: World, actuator: KubernetesActuator) -> None:
    path = await world.add()
    await actuator.apply(await step(actuator, world.target(), "scale", "k1", replicas=4))
    (ours,) = [e for e in (await world.api.get(path))["metadata"]["managedFields"] if e["manager"] == "homeostat"]
    assert (ours["operation"], ours["fieldsV1"]) == (
        "Apply",
        {"f:metadata": {"f:annotations": {"f:homeostat.io/last-action": {}}}, "f:spec": {"f:replicas": {}}},
    )
    await actuator.apply(await step(actuator, world.target(), "restart", "k2", strategy="rolling"))
    restarted = await world.api.get(path)
    assert restarted["spec"]["replicas"] == 4, "what was applied before must not be dropped by leaving it out"
    await actuator.apply(await step(actuator, world.target(), "restart", "k3", **INSTANCE))
    await actuator.apply(await step(actuator, world.target(), "rollback", "k4"))
    await actuator.apply(await step(actuator, world.target(), "scale", "k5", replicas=3))
    last = await world.api.get(path)
    container = last["spec"]["template"]["spec"]["containers"][0]
    assert (last["spec"]["replicas"], container["image"]) == (3, "shop/cart:1.4.2")
    assert not any("restarted" in k for k in w.marks_of(last["spec"]["template"])), "it is the earlier template, whole"


async def test_what_another_applies_is_left_alone(world: World, actuator: KubernetesActuator) -> None:
    path = await world.add()
    declared = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart"}, "spec": {"replicas": 2}}
    for manager in ("kubectl", "argocd-controller"):
        await world.api.apply(path, declared, manager)
    asked = await step(actuator, world.target(), "scale", replicas=4)
    with pytest.raises(ActionFailed, match=r"spec\.replicas of cart is applied by argocd-controller") as caught:
        await actuator.apply(asked)
    assert (caught.value.reason, await actuator.applied(asked)) == ("field_owned", Applied.NO)
    del declared["spec"]
    await world.api.apply(path, declared, "argocd-controller")  # it lets go
    result = await actuator.apply(asked)
    assert (result.data["settled"], (await world.api.get(path))["spec"]["replicas"]) == (True, 4)


async def test_somebody_elses_change_meanwhile_is_a_conflict(world: World, actuator: KubernetesActuator) -> None:
    path = await world.add()
    seen = await world.api.get(path)
    await world.api.patch(path, {"metadata": {"annotations": {"team": "shop"}}})
    with pytest.raises(Conflict, match="the object has been modified"):
        await _cluster(actuator).apply(path, changes.scale(seen, "k", 4))
    with pytest.raises(Conflict, match="the object has been modified"):
        await _cluster(actuator).patch(
            path,
            changes.rollback(seen, "k", (await _history(world, actuator)).earlier[0]),
            "application/json-patch+json",
        )
    assert (await world.api.get(path))["spec"] == seen["spec"]


async def _history(world: World, actuator: KubernetesActuator) -> Any:
    look = WorkloadReader(_cluster(actuator))
    return await look.history(await look.find(world.target()))


def _cluster(actuator: KubernetesActuator) -> client.Cluster:
    """The one cluster that it is bound to."""
    return actuator._clusters._at(BOUND[ENVIRONMENT])


async def test_one_that_was_made_anew_is_another(world: World, actuator: KubernetesActuator) -> None:
    """Applying makes what is missing: a Deployment that was deleted meanwhile must not come back, nor its namesake change."""
    path = await world.add()
    seen = await world.api.get(path)
    await world.api.delete(path)
    with pytest.raises((Conflict, Forbidden, TargetNotFound)):
        await _cluster(actuator).apply(path, changes.scale(seen, "k", 4))
    assert not await w.exists(world.api, path)
    await world.add()
    again = await world.api.get(path)
    with pytest.raises(Conflict):
        await _cluster(actuator).apply(path, changes.scale(seen, "k", 4))
    assert (await world.api.get(path))["spec"] == again["spec"]


# --- going back


async def test_going_back_passes_over_restarts_and_comes_back(world: World, actuator: KubernetesActuator) -> None:
    for kind in ("Deployment", "StatefulSet"):
        name = kind.lower()
        target = world.target(name, kind)
        await world.add(kind, name)
        await actuator.apply(await step(actuator, target, "restart", "k1", strategy="rolling"))
        state = await actuator.describe(target)
        assert (state.version, state.previous_version) == ("1.5.0", "1.4.2")
        back = await actuator.apply(await step(actuator, target, "rollback", "k2"))
        assert back.after is not None
        assert (back.after.version, back.after.previous_version) == ("1.4.2", "1.5.0")
        forth = await actuator.apply(await step(actuator, target, "rollback", "k3", version="1.5.0"))
        assert forth.after is not None
        assert forth.after.version == "1.5.0"


async def test_a_changed_limit_is_taken_back_and_no_release_with_it(world: World, actuator: KubernetesActuator) -> None:
    """The image stays; what ran before the release that is running stays where it is."""
    for kind in ("Deployment", "StatefulSet"):
        name = kind.lower()
        target, path = world.target(name, kind), await world.add(kind, name)
        setting = [{"name": "POOL", "value": "1"}]
        change = [{"op": "add", "path": "/spec/template/spec/containers/0/env", "value": setting}]
        await world.api.patch(path, change, "application/json-patch+json")
        await w.rolled_out(world.api, path)
        state = await actuator.describe(target)
        assert (state.version, state.previous_version.partition("#")[0]) == ("1.5.0", "1.5.0")
        back = await actuator.apply(await step(actuator, target, "rollback", "k1"))
        assert back.after is not None
        assert (back.after.version, await pool(world, path)) == ("1.5.0", None)
        forth = await actuator.apply(
            await step(actuator, target, "rollback", "k2", version=back.after.previous_version)
        )
        assert forth.after is not None
        assert (forth.after.version, await pool(world, path)) == ("1.5.0", "1")


async def pool(world: World, path: str) -> str | None:
    """The setting that was changed, as the template has it."""
    (container,) = (await world.api.get(path))["spec"]["template"]["spec"]["containers"]
    return next((e["value"] for e in container.get("env") or () if e["name"] == "POOL"), None)


async def test_a_daemon_set_is_not_scaled(world: World, actuator: KubernetesActuator) -> None:
    path = await world.add("DaemonSet")
    before = await world.generation(path)
    with pytest.raises(ActionFailed, match="one pod per node"):
        await actuator.apply(await step(actuator, world.target(kind="DaemonSet"), "scale", replicas=3))
    assert await world.generation(path) == before


# --- autoscalers and budgets


async def test_the_autoscaler_scales(world: World, actuator: KubernetesActuator) -> None:
    path = await world.add()
    scaler = world.path(hpa.KIND, "cart", hpa.GROUP)
    await world.api.create(world.path(hpa.KIND, group=hpa.GROUP), w.autoscaler("cart", 2, 4))
    assert (await actuator.describe(world.target())).most == 4
    result = await actuator.apply(await step(actuator, world.target(), "scale", "k1", replicas=4))
    assert (result.data["settled"], (await world.api.get(scaler))["spec"]["minReplicas"]) == (True, 4)
    scaled = next(
        e for e in (await world.api.get(path))["metadata"]["managedFields"] if e.get("subresource") == "scale"
    )
    assert scaled["manager"] == "kube-controller-manager", "the autoscaler did it, not we"
    with pytest.raises(ActionFailed, match="allows at most 4 replicas, not 5"):
        await actuator.apply(await step(actuator, world.target(), "scale", "k2", replicas=5))
    await world.api.patch(scaler, {"metadata": {"annotations": {hpa.MAY_RAISE_TO: "6"}}})
    await actuator.apply(await step(actuator, world.target(), "scale", "k3", replicas=5))
    assert (await actuator.describe(world.target())).replicas == 5
    await actuator.apply(await step(actuator, world.target(), "scale", "k4", replicas=2))
    after = await world.api.get(scaler)
    assert (after["spec"]["minReplicas"], after["spec"]["maxReplicas"]) == (2, 5)
    assert hpa.OWN_MINIMUM not in w.marks_of(after)


async def test_a_disruption_budget_is_respected(world: World, actuator: KubernetesActuator) -> None:
    await world.add()
    budgets = world.path("poddisruptionbudgets", group="/apis/policy/v1")
    await world.api.create(budgets, w.disruption_budget("cart", minAvailable=2))
    await w.until(lambda: _counted(world, budgets, healthy=2), "the budget to be counted")
    asked = await step(actuator, world.target(), "restart", **INSTANCE)
    assert await world.removed() == 0
    with pytest.raises(ActionFailed, match="a PodDisruptionBudget forbids it now") as caught:
        await actuator.apply(asked)
    assert (caught.value.reason, await world.removed(), await actuator.applied(asked)) == (
        "disruption_budget",
        0,
        Applied.NO,
    )
    await world.api.patch(f"{budgets}/cart", {"spec": {"minAvailable": 1}})
    await w.until(lambda: _counted(world, budgets, allowed=1), "the budget to allow one")
    await actuator.apply(asked)
    assert (await world.removed(), await actuator.applied(asked)) == (1, Applied.YES)


async def test_two_budgets_on_one_pod_are_a_refusal_that_names_them(world: World, actuator: KubernetesActuator) -> None:
    await world.add()
    budgets = world.path("poddisruptionbudgets", group="/apis/policy/v1")
    for name in ("cart", "cart-2"):
        await world.api.create(budgets, w.disruption_budget("cart", maxUnavailable=1) | {"metadata": {"name": name}})
    await w.until(lambda: _counted(world, budgets, healthy=2, allowed=1), "the budget to be counted")
    asked = await step(actuator, world.target(), "restart", **INSTANCE)
    with pytest.raises(ActionFailed, match=r"several PodDisruptionBudgets .*: cart and cart-2") as caught:
        await actuator.apply(asked)
    assert (caught.value.reason, await actuator.applied(asked)) == ("disruption_budget", Applied.NO)


async def test_all_pods_at_once_is_told_and_a_budget_against_it_is_respected(
    world: World, actuator: KubernetesActuator
) -> None:
    path = await world.add()
    strategy = {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}
    await world.api.patch(path, strategy, "application/merge-patch+json")
    await w.rolled_out(world.api, path)
    state = await actuator.describe(world.target())
    assert "all 2 instances that serve at once" in action_of("restart").outage({"strategy": "rolling"}, state)
    budgets = world.path("poddisruptionbudgets", group="/apis/policy/v1")
    await world.api.create(budgets, w.disruption_budget("cart", maxUnavailable=1))
    await w.until(lambda: _counted(world, budgets, healthy=2, allowed=1), "the budget to be counted")
    before = await world.generation(path)
    with pytest.raises(ActionFailed, match="PodDisruptionBudget cart allows 1 at once"):
        await actuator.apply(await step(actuator, world.target(), "restart", strategy="rolling"))
    assert await world.generation(path) == before


async def test_what_a_controller_owns_is_left_to_it(world: World, actuator: KubernetesActuator) -> None:
    path = await world.add()
    owner = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "cart", "uid": "a-1", "controller": True}
    await world.api.patch(path, {"metadata": {"ownerReferences": [owner]}}, "application/merge-patch+json")
    before = await world.generation(path)
    for action, arguments in (("scale", {"replicas": 3}), ("restart", {"strategy": "rolling"}), ("rollback", {})):
        with pytest.raises(ActionFailed, match="controlled by Canary cart") as caught:
            await actuator.apply(await step(actuator, world.target(), action, **arguments))
        assert caught.value.reason == "owned"
    assert await world.generation(path) == before


async def _counted(world: World, budgets: str, healthy: int = 0, allowed: int = 0) -> bool:
    status = (await world.api.get(f"{budgets}/cart")).get("status", {})
    enough = status.get("currentHealthy", 0) >= healthy and status.get("disruptionsAllowed", 0) >= allowed
    return bool(enough and status.get("observedGeneration"))


# --- rights


async def test_where_the_role_is_not_bound_nothing_is_allowed(world: World, actuator: KubernetesActuator) -> None:
    elsewhere = World(world.api, f"{world.namespace}-b")
    await w.namespace(world.api, elsewhere.namespace)
    path = await elsewhere.add()
    before = await elsewhere.generation(path)
    rule = r'\{apiGroups: \["apps"\], resources: \["deployments"\], verbs: \["get"\]\}'
    with pytest.raises(Forbidden, match=f"add to its Role in namespace '{elsewhere.namespace}': {rule}"):
        await actuator.describe(elsewhere.target())
    with pytest.raises(Forbidden):
        await actuator.apply(StepRequest("k", "r", "s", "scale", elsewhere.target(), {"replicas": 4}, None, 5.0))
    assert await elsewhere.generation(path) == before
    await world.api.delete(f"/api/v1/namespaces/{elsewhere.namespace}")


async def test_each_rule_that_is_missing_is_named(world: World, actuator: KubernetesActuator) -> None:
    """Without any one verb of the role something fails, and the error says which: so the role is minimal."""
    await world.add()
    await world.api.create(world.path(hpa.KIND, group=hpa.GROUP), w.autoscaler("cart", 2, 4))
    for stateful in ("StatefulSet", "DaemonSet"):
        await world.add(stateful, stateful.lower())
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await world.api.create(world.path("roles", group=rbac), {"metadata": {"name": "less"}})
    await world.api.delete(world.path("rolebindings", w.ACTUATOR_ROLE, rbac))
    await world.api.create(world.path("rolebindings", group=rbac), w.binding("Role", "less"))
    # To list workloads only serves the message about a target that isn't there. There are no Rollouts here; and budgets are looked at
    # only where all pods would go at once, which unit tests try.
    budgets = {("policy", "poddisruptionbudgets", "list")}
    seldom = {(r, "list") for r in (*PLURALS.values(), "poddisruptionbudgets")}
    needed = {v for v in _verbs() if v[1:] not in seldom and v[1] != "rollouts"}
    for group, resource, verb in sorted(needed):
        await _allow(world, budgets | needed - {(group, resource, verb)})
        fix = await _all_actions(world, actuator, f"without {verb} {resource}")
        assert fix.endswith(f'{{apiGroups: ["{group}"], resources: ["{resource}"], verbs: ["{verb}"]}}')
    await _allow(world, budgets | needed)
    assert await _all_actions(world, actuator, "with all") == ""


Verb = tuple[str, str, str]
"""API group, resource, verb."""


def _verbs() -> set[Verb]:
    return {
        (group, resource, verb)
        for rule in w.actuator_rules()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


async def _allow(world: World, verbs: set[Verb]) -> None:
    """Give the user exactly these, and wait until the API server knows."""
    rules = [{"apiGroups": [g], "resources": [r], "verbs": [v]} for g, r, v in sorted(verbs)]
    roles = world.path("roles", group="/apis/rbac.authorization.k8s.io/v1")
    await world.api.put(f"{roles}/less", {"metadata": {"name": "less"}, "rules": rules})

    async def known() -> bool:
        return all([await _may(world, verb) == (verb in verbs) for verb in _verbs()])

    await w.until(known, "the API server to know the role")


async def _may(world: World, verb: Verb) -> bool:
    group, resource, action = verb
    name, _, below = resource.partition("/")
    asked = {"namespace": world.namespace, "group": group, "resource": name, "subresource": below, "verb": action}
    review = {"spec": {"user": "homeostat", "resourceAttributes": asked}}
    answer = await world.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


async def _all_actions(world: World, actuator: KubernetesActuator, key: str) -> str:
    """Do everything; the fix of the first refusal. Where a controller was faster, again a moment later: what was done is not done twice."""
    orders: list[tuple[str, dict[str, Any]]] = [
        ("restart", {"strategy": "rolling"}),
        ("rollback", {}),
        ("restart", INSTANCE),
    ]

    async def fix() -> str:
        try:
            for kind in PLURALS:
                target = world.target("cart" if kind == "Deployment" else kind.lower(), kind)
                scale: list[tuple[str, dict[str, Any]]] = [("scale", {"replicas": 3})] if kind == "Deployment" else []
                for action, arguments in (*scale, *orders):
                    name = f"{key}/{kind}/{action}/{arguments.get('strategy', '')}"
                    await actuator.apply(StepRequest(name, "r", "s", action, target, arguments, None, 1.0))
        except Forbidden as e:
            return e.fix
        return ""

    return await retrying(fix, within(PATIENCE_S), pauses=every(0.2), on=Conflict, told=quiet)
