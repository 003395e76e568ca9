"""Who owns a workload decides: what is refused, with what instead, what is done at the owner, and what stays free."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.actuators.kubernetes import KubernetesActuator, disruption
from connectors.kubernetes.failures import ACTING, refused
from connectors.kubernetes.request import Request
from contracts.actions import action_of
from contracts.errors import ActionFailed, ActuatorUnavailable, Forbidden, HomeostatError, InvalidTarget, TargetNotFound
from contracts.settings import ActSettings
from tests.unit.connectors.actuators.kubernetes.api_server import APPLY, ARGO, ApiServer, load
from tests.unit.connectors.actuators.kubernetes.conftest import BOUND
from tests.unit.connectors.actuators.kubernetes.test_actuator import CART, INSTANCE, QUEUE, _link, step

Json = dict[str, Any]
ACTIONS: dict[str, Json] = {
    "scale": {"replicas": 3},
    "restart/rolling": {"strategy": "rolling"},
    "restart/instance": INSTANCE,
    "rollback": {},
}
INPUTS = Path(__file__).parents[6] / "shared" / "field" / "inputs"


def owner(kind: str, api: str, name: str = "cart", *, controller: bool = True) -> Json:
    return {"apiVersion": api, "kind": kind, "name": name, "uid": f"{kind}-1", "controller": controller}


def applied(**spec: Any) -> Json:
    """What client-side apply leaves behind."""
    return {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": spec})}


def written(manager: str, *fields: str, operation: str = "Update") -> Json:
    inner: Json = {f"f:{name}": {} for name in fields}
    return {"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": inner}}


async def outcomes(actuator: KubernetesActuator, cluster: ApiServer, target: Any = CART) -> dict[str, str]:
    """Why each action is refused ("" where it is done), told beforehand and at the effect alike."""
    found = {}
    for name, arguments in ACTIONS.items():
        saved = copy.deepcopy((cluster.workloads, cluster.replica_sets, cluster.pods, cluster.autoscalers))
        asked = await step(actuator, name.partition("/")[0], f"key-{name}", target, **arguments)
        assert asked.before is not None
        sent = len(cluster.requests)
        try:
            await actuator.apply(asked)
            found[name] = ""
        except HomeostatError as e:
            found[name] = str(e)
            assert len(cluster.requests) == sent, "refused before anything was sent"
        assert action_of(asked.action).refusal(arguments, asked.before) == found[name]
        cluster.workloads, cluster.replica_sets, cluster.pods, cluster.autoscalers = saved
    return found


def done(found: dict[str, str]) -> set[str]:
    return {name for name, why in found.items() if not why}


EVERYTHING = set(ACTIONS)
EVICTION, RESTARTS = {"restart/instance"}, {"restart/rolling", "restart/instance"}


# --- controllers


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        (owner("Canary", "flagger.app/v1beta1"), r"Canary cart \(flagger\.app\)"),
        (owner("ScaledObject", "keda.sh/v1alpha1"), r"ScaledObject cart \(keda\.sh\)"),
        (owner("Kafka", "kafka.strimzi.io/v1beta2", "events"), r"Kafka events \(kafka\.strimzi\.io\)"),
        (owner("Revision", "serving.knative.dev/v1"), r"Revision cart \(serving\.knative\.dev\)"),
        (owner("ClusterServiceVersion", "operators.coreos.com/v1alpha1", controller=False), "ClusterServiceVersion"),
    ],
)
async def test_what_a_controller_owns_is_left_to_it(
    reference: Json, named: str, actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    for workload in cluster.workloads.values():
        workload["metadata"]["ownerReferences"] = [reference]
    for target in (CART, QUEUE):
        found = await outcomes(actuator, cluster, target)
        assert done(found) == set()
        for why in found.values():
            assert reference["name"] in why
            assert reference["kind"] in why
            assert "would change it back" in why
    with pytest.raises(ActionFailed, match=named) as caught:
        await actuator.apply(await step(actuator, "restart", **INSTANCE))
    assert caught.value.reason == "owned"


@pytest.mark.parametrize(
    ("key", "said", "named"),
    [
        (
            "annotations",
            {"operator-sdk/primary-resource": "shop/cart", "operator-sdk/primary-resource-type": "App.example.com"},
            "App cart (example.com)",
        ),
        ("annotations", {"metacontroller.k8s.io/last-applied-configuration": "{}"}, "CompositeController"),
        ("labels", {"app.kubernetes.io/managed-by": "strimzi-cluster-operator"}, "strimzi-cluster-operator"),
    ],
)
async def test_an_owner_that_only_leaves_its_mark_is_one(
    key: str, said: Json, named: str, actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    cluster.cart["metadata"][key] = {**cluster.cart["metadata"].get(key, {}), **said}
    found = await outcomes(actuator, cluster)
    assert done(found) == set()
    assert all(named in why and "would change it back" in why for why in found.values())


async def test_what_is_being_deleted_is_left_alone(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    cluster.cart["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = await outcomes(actuator, cluster)
    assert done(found) == set()
    assert all("it is being deleted" in why for why in found.values())


async def test_a_release_that_a_partition_holds_back_is_not_rolled_out(
    actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    for workload in cluster.workloads.values():
        workload["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    found = (await actuator.describe(QUEUE)).refusals
    assert {name for name, why in found.items() if "partition of 1" in why} == {"restart/rolling", "rollback"}


async def test_an_owner_that_does_not_mind_is_named_in_the_settings(cluster: ApiServer) -> None:
    cluster.cart["metadata"]["ownerReferences"] = [owner("App", "example.com/v1")]
    actuator = KubernetesActuator(
        ActSettings(kube_context="here", environments=BOUND, kube_owners=("App.example.com",))
    )
    assert done(await outcomes(actuator, cluster)) == EVERYTHING
    await actuator.close()


async def test_an_owner_for_garbage_collection_is_no_owner(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    cluster.cart["metadata"]["ownerReferences"] = [owner("ConfigMap", "v1", controller=False)]
    assert done(await outcomes(actuator, cluster)) == EVERYTHING


async def test_what_flagger_tries_is_not_what_serves(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    primary = copy.deepcopy(cluster.cart)
    primary["metadata"] |= {"name": "cart-primary", "ownerReferences": [owner("Canary", "flagger.app/v1beta1")]}
    cluster.workloads["deployments/cart-primary"] = primary
    found = await outcomes(actuator, cluster)
    assert done(found) == set()
    assert all("what serves is cart-primary" in why for why in found.values())
    cluster.workloads["deployments/cart-primary"]["metadata"]["ownerReferences"] = []  # merely a name
    assert done(await outcomes(actuator, cluster)) == EVERYTHING


@pytest.mark.parametrize("key", ["helm.sh/hook", "argocd.argoproj.io/hook"])
async def test_hooks_are_left_alone(key: str, actuator: KubernetesActuator, cluster: ApiServer) -> None:
    cluster.cart["metadata"]["annotations"][key] = "pre-upgrade"
    found = await outcomes(actuator, cluster)
    assert done(found) == set()
    assert all("is a hook of" in why for why in found.values())


async def test_there_is_nothing_to_do_with_no_replicas(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    cluster.cart["spec"]["replicas"] = 0
    cluster.cart["status"] = {"observedGeneration": 2}
    cluster.pods.clear()
    cluster.stuck = True
    found = await outcomes(actuator, cluster)
    assert done(found) == set()
    assert "has nothing to restart: it is scaled to 0" in found["restart/rolling"]


# --- repositories

ARGO_MARKS = {"argocd.argoproj.io/tracking-id": "shop-app:apps/Deployment:shop/cart"}
FLUX = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
HELM = {"helm.toolkit.fluxcd.io/name": "cart", "helm.toolkit.fluxcd.io/namespace": "shop"}
WHOLE = {"replicas": 2, "template": {"spec": {"containers": []}}}
PART = {"template": {"spec": {"containers": []}}}


@pytest.mark.parametrize(
    ("labels", "marks", "managed", "free", "named"),
    [
        ({}, ARGO_MARKS | applied(**WHOLE), [], RESTARTS, "Argo CD (Application shop-app)"),
        ({}, ARGO_MARKS | applied(**PART), [], {*RESTARTS, "scale"}, "Argo CD"),
        ({}, ARGO_MARKS, [], RESTARTS, "may declare spec.template.spec"),
        ({}, ARGO_MARKS | {"argocd.argoproj.io/sync-options": "Prune=false,Replace=true"}, [], EVICTION, "Argo CD"),
        ({"argocd.argoproj.io/instance": "x"}, applied(**WHOLE), [], RESTARTS, "Application x"),
        (
            {"app.kubernetes.io/instance": "x"},
            applied(**WHOLE),
            [written("argocd-controller", "replicas")],
            RESTARTS,
            "Application x",
        ),
        ({"app.kubernetes.io/instance": "x"}, applied(**WHOLE), [], EVERYTHING, ""),
        (
            FLUX,
            {},
            [written("kustomize-controller", "replicas", "template")],
            RESTARTS,
            "Kustomization flux-system/apps",
        ),
        (FLUX, {}, [written("kustomize-controller", "selector")], EVERYTHING, ""),
        (FLUX, {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}, [], EVERYTHING, ""),
        (FLUX, {"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}, [], EVERYTHING, ""),
        (HELM, {}, [written("helm-controller", "replicas", "template")], RESTARTS, "HelmRelease shop/cart"),
        ({"kapp.k14s.io/app": "1"}, {}, [], EVICTION, "kapp"),
        ({}, {"configmanagement.gke.io/managed": "enabled"}, [], EVICTION, "Config Sync"),
        ({}, {"configmanagement.gke.io/managed": "disabled"}, [], EVERYTHING, ""),
        ({"app.kubernetes.io/managed-by": "Helm"}, {"meta.helm.sh/release-name": "x"}, [], EVERYTHING, ""),
        ({}, applied(**WHOLE), [written("kubectl-client-side-apply", "replicas")], EVERYTHING, ""),
    ],
)
async def test_what_a_repository_declares_is_changed_there(
    labels: Json,
    marks: Json,
    managed: list[Json],
    free: set[str],
    named: str,
    actuator: KubernetesActuator,
    cluster: ApiServer,
) -> None:
    metadata = cluster.cart["metadata"]
    metadata["labels"] |= labels
    metadata["annotations"] |= marks
    metadata["managedFields"] = [
        {**m, "fieldsV1": {"f:spec": {**m["fieldsV1"]["f:spec"], **_templated(m)}}} for m in managed
    ]
    found = await outcomes(actuator, cluster)
    assert done(found) == free
    assert all(named in why for name, why in found.items() if name == "rollback" and why)
    assert all(
        "change it in the repository" in why for name, why in found.items() if name in ("scale", "rollback") and why
    )


def _templated(entry: Json) -> Json:
    return {"f:template": {"f:spec": {}}} if "f:template" in entry["fieldsV1"]["f:spec"] else {}


async def test_a_tool_that_ignores_what_we_change_is_named_in_the_settings(cluster: ApiServer) -> None:
    cluster.cart["metadata"]["annotations"] |= ARGO_MARKS | applied(**WHOLE)
    actuator = KubernetesActuator(
        ActSettings(kube_context="here", environments=BOUND, kube_take_over=("argocd-controller",))
    )
    assert done(await outcomes(actuator, cluster)) == EVERYTHING
    await actuator.close()


# --- autoscalers


@pytest.mark.parametrize(
    "how",
    [
        {"ownerReferences": [owner("ScaledObject", "keda.sh/v1alpha1")]},
        {"labels": {"scaledobject.keda.sh/name": "cart"}},
        {"labels": {"app.kubernetes.io/managed-by": "keda-operator"}},
        {"name": "keda-hpa-cart"},
        {"ownerReferences": [owner("Shop", "example.com/v1")]},
        {"annotations": ARGO_MARKS | applied(minReplicas=2)},
    ],
)
async def test_an_autoscaler_that_is_somebodys_is_left_alone(
    how: Json, actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    scaler = load("autoscaler.json")
    for key, value in how.items():
        scaler["metadata"][key] = {**scaler["metadata"].get(key, {}), **value} if isinstance(value, dict) else value
    cluster.autoscalers.append(scaler)
    found = await outcomes(actuator, cluster)
    assert done(found) == EVERYTHING - {"scale"}, "only its scaling is theirs"
    assert f"HorizontalPodAutoscaler {scaler['metadata']['name']}" in found["scale"]
    assert "would change it back" in found["scale"]


async def test_two_autoscalers_of_one_workload_are_for_a_person(
    actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    other = load("autoscaler.json")
    other["metadata"]["name"] = "cart-2"
    cluster.autoscalers += [load("autoscaler.json"), other]
    found = await outcomes(actuator, cluster)
    assert "several autoscalers, cart and cart-2" in found["scale"]


# --- Rollouts of Argo


def rolled_by_argo(cluster: ApiServer, *, lent: bool = False) -> Json:
    """The Deployment's place is taken by a Rollout; `lent`: the Deployment stays and lends its template."""
    deployment = cluster.cart
    rollout = copy.deepcopy(deployment)
    rollout |= {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}
    rollout["metadata"]["uid"] = "r0110000-0000-4000-8000-000000000001"
    rollout["metadata"]["annotations"] = {"rollout.argoproj.io/revision": "2"}
    rollout["spec"]["strategy"] = {"canary": {"maxUnavailable": 1}}
    rollout["status"]["observedGeneration"] = "2"
    for one in cluster._sets_of(deployment):
        number = one["metadata"]["annotations"].pop("deployment.kubernetes.io/revision")
        one["metadata"]["annotations"]["rollout.argoproj.io/revision"] = number
        one["metadata"]["ownerReferences"] = [
            owner("Rollout", "argoproj.io/v1alpha1") | {"uid": rollout["metadata"]["uid"]}
        ]
    if lent:
        del rollout["spec"]["template"], rollout["spec"]["selector"]
        rollout["spec"]["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart"}
        rollout["status"]["selector"] = "app=cart"
        deployment["metadata"]["annotations"]["rollout.argoproj.io/workload-generation"] = "1"
        deployment["spec"]["replicas"] = 0
    else:
        del cluster.workloads["deployments/cart"]
    cluster.workloads["rollouts/cart"] = rollout
    return rollout


@pytest.mark.parametrize("broken", [{}, {"spec": None, "metadata": {"uid": "u"}}, {"spec": {}, "metadata": {}}])
async def test_an_object_that_says_nothing_of_itself_is_refused_by_name(
    broken: Json, actuator: KubernetesActuator, cluster: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await actuator.describe(CART)
    rolled_by_argo(cluster)
    link = _link(actuator)
    get = link.get

    async def emptied(path: str, **more: Any) -> Json:
        found = await get(path, **more)
        return broken if "/rollouts/" in path else found

    monkeypatch.setattr(link, "get", emptied)
    with pytest.raises(InvalidTarget, match="Rollout cart in namespace shop has no spec or uid"):
        await actuator.describe(CART)


@pytest.mark.parametrize("lent", [False, True])
async def test_a_rollout_is_restarted_and_scaled_as_such(
    lent: bool, actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    rollout = rolled_by_argo(cluster, lent=lent)
    state = await actuator.describe(CART)
    assert state.identity is not None
    assert (state.identity.kind, state.version, state.previous_version) == ("Rollout", "1.5.0", "1.4.2")
    assert (state.replicas, len(state.instances)) == (2, 2)
    result = await actuator.apply(await step(actuator, "restart", "k1", strategy="rolling"))
    assert rollout["spec"]["restartAt"] == rollout["status"]["restartedAt"]
    assert result.data["settled"]
    await actuator.apply(await step(actuator, "scale", "k2", replicas=3))
    sent = [(method, path, kind, sorted(body["spec"])) for method, path, kind, body in cluster.requests]
    assert sent == [
        ("PATCH", f"{ARGO}/rollouts/cart", APPLY, ["restartAt"]),
        ("PATCH", f"{ARGO}/rollouts/cart", APPLY, ["replicas", "restartAt"]),
    ]
    with pytest.raises(ActionFailed, match="kubectl argo rollouts undo cart"):
        await actuator.apply(await step(actuator, "rollback", "k3"))


async def test_a_rollout_that_waits_in_a_release_is_not_restarted(
    actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    rolled_by_argo(cluster)["status"]["pauseConditions"] = [{"reason": "CanaryPauseStep"}]
    with pytest.raises(ActionFailed, match="cart is paused") as caught:
        await actuator.apply(await step(actuator, "restart", strategy="rolling"))
    assert "kubectl argo rollouts promote" in str(caught.value)


async def test_what_only_lends_its_template_is_never_taken_for_what_runs(
    actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    rolled_by_argo(cluster, lent=True)
    cluster.forbidden.add("rollouts")
    found = await outcomes(actuator, cluster)
    assert done(found) == set()
    assert all("only lends its template to a Rollout" in why for why in found.values())


async def test_rollouts_that_can_not_be_read_are_said_to_be_possible(
    actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    rolled_by_argo(cluster)
    cluster.forbidden.add("rollouts")
    with pytest.raises(TargetNotFound, match="a Rollout of Argo may be meant, but add to its ClusterRole"):
        await actuator.describe(CART)


# --- all pods at once

RECREATE = {"type": "Recreate"}


def rolling(unavailable: int | str, surge: int | str = 0) -> Json:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}


@pytest.mark.parametrize(
    ("strategy", "replicas", "ready", "taken"),
    [
        (RECREATE, 2, 2, 2),
        (RECREATE, 3, 1, 1),
        (RECREATE, 3, 0, 0),
        (rolling("100%"), 4, 4, 4),
        (rolling(4), 4, 4, 4),
        (rolling("25%", "25%"), 4, 4, 1),
        (rolling("25%", "25%"), 4, 3, 0),
        (rolling("25%", "25%"), 1, 1, 0),
        (rolling("25%", 0), 1, 1, 1),
        (rolling(1, 0), 1, 1, 1),
        (rolling(0, 1), 1, 1, 0),
        ({}, 2, 2, 0),
    ],
)
async def test_how_many_a_roll_out_takes_at_once(
    strategy: Json, replicas: int, ready: int, taken: int, actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    cluster.stuck = True
    cluster.cart["spec"] |= {"replicas": replicas, "strategy": strategy}
    cluster.cart["status"]["readyReplicas"] = ready
    state = await actuator.describe(CART)
    assert state.disrupts == taken
    all_of_them = taken >= ready > 0
    for action, arguments in (("restart", {"strategy": "rolling"}), ("rollback", {})):
        assert bool(action_of(action).outage(arguments, state)) == all_of_them
    assert not action_of("scale").outage({"replicas": 9}, state)
    assert not action_of("restart").outage(INSTANCE, state)


@pytest.mark.parametrize(
    ("kind", "spec", "taken"),
    [
        ("StatefulSet", {}, 1),
        ("StatefulSet", {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}}}, 3),
        ("DaemonSet", {}, 1),
        ("DaemonSet", {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}}}, 3),
        ("DaemonSet", {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}}, 0),
        ("Rollout", {"strategy": {"canary": {}}}, 1),
        ("Rollout", {"strategy": {"canary": {"maxUnavailable": "a few"}}}, 3),
        ("Rollout", {"strategy": {"blueGreen": {"maxUnavailable": "100%"}}}, 3),
    ],
)
def test_how_many_others_take_at_once(kind: str, spec: Json, taken: int) -> None:
    status = {"readyReplicas": 3} if kind != "DaemonSet" else {"numberReady": 3, "desiredNumberScheduled": 3}
    assert disruption.taken_at_once({"kind": kind, "spec": {"replicas": 3, **spec}, "status": status}) == taken


@given(st.integers(0, 9), st.integers(0, 9), st.one_of(st.integers(0, 12), st.integers(0, 150).map("{}%".format)))
def test_never_more_are_taken_than_serve(replicas: int, ready: int, unavailable: int | str) -> None:
    for strategy in (RECREATE, rolling(unavailable), rolling(unavailable, 1)):
        body = {
            "kind": "Deployment",
            "spec": {"replicas": replicas, "strategy": strategy},
            "status": {"readyReplicas": ready},
        }
        assert 0 <= disruption.taken_at_once(body) <= ready


async def test_the_result_says_that_all_went_at_once(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    cluster.cart["spec"]["strategy"] = RECREATE
    result = await actuator.apply(await step(actuator, "restart", strategy="rolling"))
    assert "takes all 2 pods that serve away at once: an outage of all pods" in result.text


# --- disruption budgets


def budget(name: str, allowed: int, selector: Json | None) -> Json:
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": allowed},
    }


OF_CART, OF_OTHERS = {"matchLabels": {"app": "cart"}}, {"matchLabels": {"app": "web"}}


@pytest.mark.parametrize(
    ("budgets", "refused"),
    [
        ([], False),
        ([budget("b", 1, OF_CART)], True),
        ([budget("b", 2, OF_CART)], False),
        ([budget("b", 0, OF_OTHERS)], False),
        ([budget("b", 0, {"matchExpressions": [{"key": "app", "operator": "In", "values": ["cart"]}]})], True),
        ([budget("b", 0, {})], True),
        ([budget("b", 0, None)], False),
    ],
)
async def test_a_budget_that_rules_out_an_outage_is_respected(
    budgets: list[Json], refused: bool, actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    cluster.cart["spec"]["strategy"] = RECREATE
    cluster.budgets = budgets
    found = await outcomes(actuator, cluster)
    assert done(found) == (EVERYTHING - {"restart/rolling", "rollback"} if refused else EVERYTHING)
    assert not refused or "PodDisruptionBudget b allows" in found["rollback"]


async def test_budgets_that_can_not_be_read_are_not_taken_for_none(
    actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    cluster.cart["spec"]["strategy"] = RECREATE
    cluster.forbidden.add("poddisruptionbudgets")
    with pytest.raises(Forbidden, match="poddisruptionbudgets"):
        await actuator.apply(await step(actuator, "restart", strategy="rolling"))
    cluster.cart["spec"]["strategy"] = rolling("25%", "25%")
    await actuator.apply(await step(actuator, "restart", "k2", strategy="rolling"))


@pytest.mark.parametrize("readable", [True, False])
async def test_two_budgets_on_one_pod_are_a_refusal_that_names_them(
    readable: bool, actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    cluster.budgets = [budget("b-one", 1, OF_CART), budget("b-two", 1, OF_CART), budget("web", 1, OF_OTHERS)]
    if not readable:
        cluster.forbidden.add("poddisruptionbudgets")
    with pytest.raises(ActionFailed, match="several PodDisruptionBudgets are about pod") as caught:
        await actuator.apply(await step(actuator, "restart", **INSTANCE))
    assert (caught.value.reason, cluster.effects) == ("disruption_budget", 0)
    assert ("b-one and b-two" in str(caught.value)) == readable


# --- whose refusal it is


@pytest.mark.parametrize(
    ("status", "message", "error", "reason", "named"),
    [
        (403, 'admission webhook "policy.example.com" denied the request: no', ActionFailed, "admission_denied", "policy.example.com"),
        (400, 'admission webhook "validate.kyverno.svc" denied the request: x', ActionFailed, "admission_denied", "validate.kyverno.svc"),
        (422, "ValidatingAdmissionPolicy 'no-scale' with binding 'b' denied request: x", ActionFailed, "admission_denied", "no-scale"),
        (403, 'pods "x" is forbidden: exceeded quota: compute, requested: cpu=1', ActionFailed, "quota", "compute"),
        (403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest": y', ActionFailed, "admission_denied", "restricted"),
        (403, "unable to create new content in namespace shop because it is being terminated", ActionFailed, "admission_denied", "terminated"),
        (500, 'Internal error occurred: failed calling webhook "w.example.com": no route', ActuatorUnavailable, "actuator_unavailable", "w.example.com"),
        (403, 'deployments.apps "cart" is forbidden: User "u" cannot patch resource "deployments" in API group "apps"', Forbidden, "forbidden", 'verbs: ["patch"]'),
    ],
)  # fmt: skip
def test_a_refusal_is_laid_at_the_right_door(
    status: int, message: str, error: type[HomeostatError], reason: str, named: str
) -> None:
    found = refused(
        ACTING, Request("patch", "/apis/apps/v1/namespaces/shop/deployments/cart"), status, {"message": message}
    )
    assert (type(found), found.reason) == (error, reason)
    assert named in str(found)
    assert (error is Forbidden) == ("ClusterRole" in str(found))


# --- from the field


def from_the_field() -> list[Json]:
    if not INPUTS.is_dir():
        pytest.skip("no inputs from the field beside the checkout (../shared/field)")
    found: list[Json] = json.loads((INPUTS / "F15-owned-by-others.json").read_text())
    return found


async def test_an_autoscaler_of_keda_from_the_field(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    case = from_the_field()[0]
    cluster.workloads["deployments/cart"], cluster.autoscalers = case["workload"], [case["autoscaler"]]
    with pytest.raises(ActionFailed, match=r"ScaledObject cart \(keda\.sh\).* minReplicaCount") as caught:
        await actuator.apply(await step(actuator, case["action"], replicas=4))
    assert (caught.value.reason, cluster.requests) == ("owned", [])


async def test_a_deployment_that_is_recreated_from_the_field(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    case = from_the_field()[1]
    cluster.workloads["deployments/cart"] = case["workload"]
    state = await actuator.describe(CART)
    assert "all 2 instances that serve at once" in action_of(case["action"]).outage(case["arguments"], state)
