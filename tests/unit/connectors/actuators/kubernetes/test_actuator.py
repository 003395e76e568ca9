"""The actuator `kubernetes` against an API server's behaviour: what it sends, when it waits, how it recovers."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from connectors.actuators.kubernetes import KubernetesActuator, client, cluster_version
from contracts.checks import actuator as checks
from contracts.errors import (
    ActionFailed,
    ActuatorUnavailable,
    Conflict,
    Forbidden,
    HomeostatError,
    OutcomeUnknown,
    TargetNotFound,
)
from contracts.ports import Applied, Mark, StepRequest, Target
from contracts.settings import ActSettings
from tests.unit.connectors.actuators.kubernetes.api_server import (
    APPLY,
    JSON_PATCH,
    STATUSES,
    ApiServer,
    Misbehaviour,
    load,
)
from tests.unit.connectors.actuators.kubernetes.conftest import BOUND

CART = Target("production", "shop/cart", {"k8s.namespace.name": "shop", "k8s.deployment.name": "cart"})
QUEUE = Target("production", "queue", {"k8s.namespace.name": "shop", "k8s.statefulset.name": "queue"})
PATH = "/apis/apps/v1/namespaces/shop/deployments/cart"
INSTANCE = {"strategy": "instance"}
DRAIN = {"node": "node-a", "set": "aside"}


async def step(
    actuator: KubernetesActuator, action: str, key: str = "run/step/1", target: Target = CART, **arguments: Any
) -> StepRequest:
    before = await actuator.describe(target)
    return StepRequest(key, "run-1", "step-1", action, target, arguments, before, 5.0, before.identity)


def subject(cluster: ApiServer, **arguments: dict[str, Any]) -> checks.Subject:
    return checks.Subject(
        lambda: KubernetesActuator(ActSettings(environments=BOUND)),
        CART,
        lambda: cluster.effects,
        arguments,
        unlisted="namespace 'default'",
    )


@pytest.mark.parametrize("check", checks.CHECKS)
async def test_checks(check: checks.Check, cluster: ApiServer) -> None:
    cluster.pods[0]["spec"]["nodeName"] = "node-a"
    everything = {"scale": {"replicas": 3}, "restart": {"strategy": "rolling"}, "rollback": {"version": "1.4.2"}}
    await check(subject(cluster, **everything, drain=DRAIN))


@pytest.mark.parametrize("check", [checks.check_one_effect, checks.check_same_key_twice, checks.check_close])
async def test_checks_of_restarting_one_pod(check: checks.Check, cluster: ApiServer) -> None:
    await check(subject(cluster, restart=INSTANCE))


def _link(actuator: KubernetesActuator) -> client.Cluster:
    """Its connection to the one cluster that it is bound to."""
    (link,) = actuator._clusters._clusters.values()
    return link


def _unready(pod: dict[str, Any]) -> None:
    for condition in pod["status"]["conditions"]:
        if condition["type"] == "Ready":
            condition["status"] = "False"


# --- looking


async def test_describe(actuator: KubernetesActuator) -> None:
    state = await actuator.describe(CART)
    assert (state.replicas, state.ready, state.generation) == (2, 2, "2")
    assert (state.version, state.previous_version) == ("1.5.0", "1.4.2")
    assert state.instances == ("cart-7c9d8b6f5d-2xk8p", "cart-7c9d8b6f5d-q9z4m")
    assert state.detail["revision"] == "2"


async def test_a_stateful_set(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    state = await actuator.describe(QUEUE)
    assert (state.replicas, state.version[:14], state.previous_version) == (1, "sha256:9f86d08", "0.9.0")
    result = await actuator.apply(await step(actuator, "scale", target=QUEUE, replicas=3))
    assert result.after is not None
    assert (result.after.ready, result.data["settled"]) == (3, True)
    await actuator.apply(await step(actuator, "rollback", "k2", target=QUEUE))
    template = cluster.workloads["statefulsets/queue"]["spec"]["template"]
    assert (template["spec"]["containers"][0]["image"], "$patch" in template) == ("shop/queue:0.9.0", False)


async def test_found_by_name(actuator: KubernetesActuator) -> None:
    shop = {"k8s.namespace.name": "shop"}
    assert (await actuator.describe(Target("production", "shop/cart", shop))).detail["kind"] == "deployments"
    assert (await actuator.describe(Target("production", "queue", shop))).detail["kind"] == "statefulsets"
    with pytest.raises(TargetNotFound, match=r"did you mean 'cart'\? there are: cart, queue"):
        await actuator.describe(Target("production", "shop/carts", shop))
    with pytest.raises(TargetNotFound, match="namespace 'default'"):
        await actuator.describe(Target("production", "shop/cart"))


async def test_version_of_the_cluster(cluster: ApiServer) -> None:
    assert (await cluster_version(ActSettings())).startswith("Kubernetes v1.34.4 at http://127.0.0.1:")


# --- what is sent


async def test_scale(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    result = await actuator.apply(await step(actuator, "scale", replicas=4))
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "cart",
            "namespace": "shop",
            "uid": "6f0c2f9e-4d0e-4c58-9f0a-1f6f6f6f6f01",
            "resourceVersion": "4711",
            "annotations": {"homeostat.io/last-action": "run/step/1"},
        },
        "spec": {"replicas": 4},
    }
    assert cluster.requests == [("PATCH", PATH, APPLY, body)]
    assert result.text == "cart scaled to 4 (was 2)"
    assert result.after is not None
    assert (result.after.ready, len(result.after.instances)) == (4, 4)


async def test_rolling_restart(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    before = (await actuator.describe(CART)).instances
    result = await actuator.apply(await step(actuator, "restart", strategy="rolling"))
    template = cluster.cart["spec"]["template"]
    assert template["metadata"]["annotations"]["homeostat.io/restarted-by"] == "run/step/1"
    assert template["metadata"]["annotations"]["prometheus.io/scrape"] == "true", "others' annotations stay"
    assert template["spec"] == load("deployment.json")["spec"]["template"]["spec"]
    assert result.after is not None
    assert not set(result.after.instances) & set(before)


async def test_restart_of_one_pod(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    first, second = cluster.pods
    _unready(second)
    await actuator.apply(await step(actuator, "restart", **INSTANCE))
    assert cluster.pods[0]["metadata"]["uid"] == first["metadata"]["uid"], "one that serves was left alone"
    announced, deleted = cluster.requests
    assert announced[3]["metadata"]["annotations"]["homeostat.io/last-pod"] == second["metadata"]["uid"]
    assert deleted[:2] == ("POST", "/api/v1/namespaces/shop/pods/cart-7c9d8b6f5d-q9z4m/eviction")
    assert deleted[3]["deleteOptions"] == {"preconditions": {"uid": second["metadata"]["uid"]}}


async def test_restart_of_a_named_pod(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    await actuator.apply(await step(actuator, "restart", **INSTANCE, instance="cart-7c9d8b6f5d-q9z4m"))
    assert cluster.pods[0]["metadata"]["name"] == "cart-7c9d8b6f5d-2xk8p"
    with pytest.raises(ActionFailed, match="no pod nobody"):
        await actuator.apply(await step(actuator, "restart", "k2", **INSTANCE, instance="nobody"))


async def test_rollback(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    for now in (cluster.cart, cluster.replica_sets[0]):
        now["spec"]["template"]["spec"]["hostNetwork"] = True  # not in the earlier revision: must go
    result = await actuator.apply(await step(actuator, "rollback"))
    ((_, _, kind, operations),) = cluster.requests
    assert kind == JSON_PATCH
    template = copy.deepcopy(load("replicasets.json")["items"][1]["spec"]["template"])
    del template["metadata"]["labels"]["pod-template-hash"]
    assert cluster.cart["spec"]["template"] == template
    assert operations[1] == {"op": "replace", "path": "/metadata/resourceVersion", "value": "4711"}
    assert result.after is not None
    assert (result.after.version, result.after.previous_version) == ("1.4.2", "1.5.0")
    back = await actuator.apply(await step(actuator, "rollback", "k2", version="1.5.0"))
    assert back.after is not None
    assert back.after.version == "1.5.0"
    with pytest.raises(ActionFailed, match=r"no earlier revision 0\.0\.1 \(it has: 1\.4\.2\)"):
        await actuator.apply(await step(actuator, "rollback", "k3", version="0.0.1"))


@pytest.mark.parametrize("changed", [None, "spec", "uid"])
async def test_a_rollback_races_with_the_controller_and_with_nobody_else(
    changed: str | None, actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    asked = await step(actuator, "rollback")

    def meanwhile() -> None:
        cluster.cart["status"]["observedGeneration"] = 99
        if changed == "spec":
            cluster.cart["spec"]["template"]["spec"]["hostNetwork"] = True
        if changed == "uid":
            cluster.cart["metadata"]["uid"] = "made-anew"

    cluster.before_patch = [meanwhile] * 3
    if changed is None:
        assert (await actuator.apply(asked)).after.version == "1.4.2"  # type: ignore[union-attr]
        assert (cluster.effects, len(cluster.requests)) == (1, 4)
    else:
        with pytest.raises(Conflict if changed == "spec" else ActionFailed):
            await actuator.apply(asked)
        assert cluster.effects == 0


async def test_what_was_applied_before_stays(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    """Server-side apply removes what its manager leaves out; removed replicas would be one, removed marks a restart."""
    await actuator.apply(await step(actuator, "scale", "k1", replicas=4))
    await actuator.apply(await step(actuator, "restart", "k2", strategy="rolling"))
    template = copy.deepcopy(cluster.cart["spec"]["template"])
    await actuator.apply(await step(actuator, "restart", "k3", **INSTANCE))
    await actuator.apply(await step(actuator, "scale", "k4", replicas=3))
    assert (cluster.cart["spec"]["replicas"], cluster.cart["spec"]["template"]) == (3, template)
    cluster.cart["spec"]["replicas"] = 6  # by somebody else, who has the field now
    del cluster.cart["metadata"]["managedFields"][-1]["fieldsV1"]["f:spec"]["f:replicas"]
    await actuator.apply(await step(actuator, "restart", "k5", strategy="rolling"))
    assert "replicas" not in cluster.requests[-1][3]["spec"]
    assert cluster.cart["spec"]["replicas"] == 6


def _applies(manager: str, operation: str = "Apply") -> dict[str, Any]:
    container = {'k:{"name":"cart"}': {"f:image": {}}}
    fields = {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": container}}}}
    return {"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields}


@pytest.mark.parametrize(("action", "field"), [("scale", "spec.replicas"), ("rollback", "spec.template.spec")])
async def test_what_others_apply_is_left_alone(
    action: str, field: str, actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    cluster.cart["metadata"]["managedFields"] = [_applies("argocd-controller"), _applies("kubectl")]
    asked = await step(actuator, action, **({"replicas": 4} if action == "scale" else {}))
    with pytest.raises(ActionFailed, match=f"{field} of cart is applied by argocd-controller, which") as caught:
        await actuator.apply(asked)
    assert (caught.value.reason, cluster.requests) == ("field_owned", [])
    cluster.cart["metadata"]["managedFields"] = [_applies("kubectl"), _applies("argocd-controller", "Update")]
    await actuator.apply(asked)
    assert cluster.effects == 1


async def test_going_back_passes_over_restarts(actuator: KubernetesActuator) -> None:
    await actuator.apply(await step(actuator, "restart", "k1", strategy="rolling"))
    await actuator.apply(await step(actuator, "restart", "k2", strategy="rolling"))
    assert (await actuator.describe(CART)).previous_version == "1.4.2"
    result = await actuator.apply(await step(actuator, "rollback", "k3"))
    assert result.after is not None
    assert result.after.version == "1.4.2"


async def test_what_is_paused_is_not_rolled_out(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    cluster.cart["spec"]["paused"] = True
    for action in ("restart", "rollback"):
        with pytest.raises(ActionFailed, match="cart is paused"):
            await actuator.apply(await step(actuator, action, strategy="rolling"))
    assert cluster.requests == []


async def test_a_disruption_budget_is_respected(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    cluster.disruptions = 0
    asked = await step(actuator, "restart", **INSTANCE)
    with pytest.raises(ActionFailed, match="a PodDisruptionBudget forbids it now: Cannot evict pod") as caught:
        await actuator.apply(asked)
    assert (caught.value.reason, cluster.effects) == ("disruption_budget", 0)
    assert await actuator.applied(asked) is Applied.NO
    cluster.disruptions = 1
    await actuator.apply(asked)
    assert (cluster.effects, await actuator.applied(asked)) == (1, Applied.YES)


async def test_pods_of_others_are_left_alone(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    """A selector may match more than what the workload controls."""
    stranger = copy.deepcopy(cluster.pods[0])
    stranger["metadata"] |= {"name": "a-stranger", "uid": "x"}
    stranger["metadata"]["ownerReferences"][0]["uid"] = "another-replica-set"
    _unready(stranger)
    cluster.pods.append(stranger)
    assert "a-stranger" not in (await actuator.describe(CART)).instances
    await actuator.apply(await step(actuator, "restart", **INSTANCE))
    assert "a-stranger" not in cluster.requests[-1][1]


# --- two installations


@pytest.mark.parametrize("scaled", [False, True], ids=["without an autoscaler", "by its autoscaler"])
async def test_an_installation_that_saw_too_little_is_told_who_acted(
    scaled: bool, actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    if scaled:
        cluster.autoscalers.append(load("autoscaler.json"))
    late = [
        await step(actuator, name, f"late/{name}", **given)
        for name, given in (("restart", {}), ("scale", {"replicas": 5}))
    ]
    north = Mark("north", "scale", 1_780_000_000_000_000_000)
    await actuator.apply(replace(await step(actuator, "scale", replicas=4), mark=north))
    assert (await actuator.describe(CART)).acted == north
    before = cluster.effects
    for request in late:
        with pytest.raises(Conflict, match=r"another Homeostat, north \(scale\)"):
            await actuator.apply(replace(request, mark=Mark("south", request.action, 1)))
    assert cluster.effects == before
    ours = replace(late[0], mark=Mark("north", "restart", north.time_ns + 1))
    await actuator.apply(ours)
    assert (await actuator.describe(CART)).acted == ours.mark, "of one's own, the latest"


# --- autoscalers

HPA_PATH = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/cart"


def _autoscaled(cluster: ApiServer, **annotations: str) -> dict[str, Any]:
    autoscaler = load("autoscaler.json")
    autoscaler["metadata"]["annotations"] = {f"homeostat.io/{k.replace('_', '-')}": v for k, v in annotations.items()}
    cluster.autoscalers.append(autoscaler)
    return dict(autoscaler)


def _bounds(cluster: ApiServer) -> tuple[int, int]:
    spec = cluster.autoscalers[0]["spec"]
    return spec["minReplicas"], spec["maxReplicas"]


@pytest.mark.parametrize("check", checks.CHECKS)
async def test_checks_of_what_is_autoscaled(check: checks.Check, cluster: ApiServer) -> None:
    _autoscaled(cluster)
    everything: dict[str, Any] = {"restart": {"strategy": "rolling"}, "rollback": {}, "scale": {"replicas": 4}}
    everything["drain"] = DRAIN
    wanted = everything if check is checks.check_says_what_it_can else {"scale": everything["scale"]}
    await check(subject(cluster, **wanted))


async def test_the_autoscaler_scales(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    _autoscaled(cluster)
    assert (await actuator.describe(CART)).most == 5
    result = await actuator.apply(await step(actuator, "scale", replicas=4))
    ((method, path, kind, body),) = cluster.requests
    assert (method, path, kind, body["spec"]) == ("PATCH", HPA_PATH, APPLY, {"minReplicas": 4})
    assert result.text == "cart is scaled by its autoscaler: minReplicas of cart raised to 4"
    assert result.after is not None
    assert (result.after.replicas, result.after.ready, _bounds(cluster)) == (4, 4, (4, 5))
    with pytest.raises(ActionFailed, match="allows at most 5 replicas, not 6") as caught:
        await actuator.apply(await step(actuator, "scale", "k2", replicas=6))
    assert (caught.value.reason, len(cluster.requests)) == ("autoscaler_limit", 1)


async def test_its_own_minimum_is_given_back(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    _autoscaled(cluster)
    with pytest.raises(ActionFailed, match="keeps at least 2 replicas"):
        await actuator.apply(await step(actuator, "scale", "k0", replicas=1))
    await actuator.apply(await step(actuator, "scale", "k1", replicas=3))
    await actuator.apply(await step(actuator, "scale", "k2", replicas=5))
    asked = await step(actuator, "scale", "k3", replicas=2)
    result = await actuator.apply(asked)
    assert (_bounds(cluster), result.data["settled"], await actuator.applied(asked)) == ((2, 5), True, Applied.YES)
    assert "homeostat.io/own-min-replicas" not in cluster.autoscalers[0]["metadata"]["annotations"]


async def test_its_maximum_is_raised_only_as_its_owner_allows(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    _autoscaled(cluster, max_replicas="8")
    assert (await actuator.describe(CART)).most == 8
    await actuator.apply(await step(actuator, "scale", replicas=7))
    assert _bounds(cluster) == (7, 7)
    await actuator.apply(await step(actuator, "scale", "k2", replicas=2))
    assert _bounds(cluster) == (2, 7), "what was applied once is not dropped by leaving it out"
    with pytest.raises(ActionFailed, match="at most 8"):
        await actuator.apply(await step(actuator, "scale", "k3", replicas=9))


async def test_a_changed_autoscaler_leaves_it_unknown(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    _autoscaled(cluster)
    asked = await step(actuator, "scale", replicas=4)
    assert await actuator.applied(asked) is Applied.NO
    cluster.autoscalers[0]["spec"]["maxReplicas"] = 9
    assert await actuator.applied(asked) is Applied.UNKNOWN


# --- waiting


async def test_a_rollout_that_does_not_settle_has_happened(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    cluster.stuck = True
    asked = replace(await step(actuator, "scale", replicas=4), timeout_s=0.6)
    result = await actuator.apply(asked)
    assert result.data == {"settled": False}
    assert "not settled yet: of 4 replicas 2 updated, 2 ready, 2 available" in result.text
    assert await actuator.applied(asked) is Applied.YES


async def test_that_it_can_not_be_seen_does_not_undo_it(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    asked = replace(await step(actuator, "scale", replicas=4), timeout_s=0.1)
    link = _link(actuator)
    apply = link.apply

    async def blinded(*arguments: Any) -> dict[str, Any]:
        done = await apply(*arguments)
        cluster.misbehaviours.extend([Misbehaviour("GET", 503)] * 5)
        return done

    link.apply = blinded  # type: ignore[method-assign]
    result = await actuator.apply(asked)
    assert (cluster.effects, result.after) == (1, None)
    assert "its state can't be read" in result.text


# --- failures


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, ActionFailed),
        (401, Forbidden),
        (403, Forbidden),
        (404, TargetNotFound),
        (409, Conflict),
        (422, ActionFailed),
        (429, ActuatorUnavailable),
        (500, ActuatorUnavailable),
        (503, ActuatorUnavailable),
        (504, ActuatorUnavailable),
    ],
)
async def test_refused(code: int, error: type[Exception], actuator: KubernetesActuator, cluster: ApiServer) -> None:
    asked = await step(actuator, "scale", replicas=4)
    cluster.misbehaviours.append(Misbehaviour("PATCH", code))
    with pytest.raises(error) as caught:
        await actuator.apply(asked)
    assert STATUSES[str(code)]["message"] in str(caught.value)
    assert (cluster.effects, len(cluster.requests)) == (0, 1), "it is not the client's to try again"
    assert await actuator.applied(asked) is Applied.NO


async def test_changed_by_somebody_else_meanwhile(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    asked = await step(actuator, "rollback")
    link = _link(actuator)
    get = link.get

    async def meanwhile(path: str, **query: str) -> dict[str, Any]:
        found = await get(path, **query)
        if path == PATH:
            cluster.touch(cluster.cart)
        return found

    link.get = meanwhile  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="the object has been modified"):
        await actuator.apply(asked)
    assert cluster.effects == 0


@pytest.mark.parametrize("code", [500, 503, 504])
async def test_an_error_after_the_effect_is_looked_into(
    code: int, actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    asked = await step(actuator, "scale", replicas=4)
    cluster.misbehaviours.append(Misbehaviour("PATCH", code, after=True))
    result = await actuator.apply(asked)
    assert result.text.startswith("scale of cart was done")
    assert (cluster.effects, len(cluster.requests)) == (1, 1)


@pytest.mark.parametrize("how", [{"silent": True}, {"cut": True}])
@pytest.mark.parametrize("after", [True, False])
async def test_no_answer(
    how: dict[str, bool],
    after: bool,
    actuator: KubernetesActuator,
    cluster: ApiServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "READ_S", 0.3)
    asked = await step(actuator, "restart", strategy="rolling")
    cluster.misbehaviours.append(Misbehaviour("PATCH", after=after, **how))
    if after:
        assert "was done" in (await actuator.apply(asked)).text
    else:
        with pytest.raises(OutcomeUnknown, match="sent, and no answer"):
            await actuator.apply(asked)
    assert (cluster.effects, len(cluster.requests)) == (int(after), 1)


async def test_applied_of_a_pod_that_was_only_announced(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    asked = await step(actuator, "restart", **INSTANCE)
    cluster.misbehaviours.append(Misbehaviour("POST", 503))
    with pytest.raises(ActuatorUnavailable):
        await actuator.apply(asked)
    assert await actuator.applied(asked) is Applied.NO
    await actuator.apply(asked)
    assert await actuator.applied(asked) is Applied.YES
    assert cluster.effects == 1


async def test_what_others_did_since_leaves_it_unknown(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    asked = await step(actuator, "scale", replicas=4)
    pod = await step(actuator, "restart", "pod", **INSTANCE)
    assert await actuator.applied(asked) is Applied.NO
    await actuator.apply(await step(actuator, "scale", "another", replicas=5))
    assert await actuator.applied(asked) is Applied.UNKNOWN
    assert await actuator.applied(pod) is Applied.UNKNOWN
    assert await actuator.applied(replace(asked, before=None)) is Applied.UNKNOWN


async def test_no_cluster(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ActuatorUnavailable, match="kubectl version"):
        await cluster_version(ActSettings())
    actuator = KubernetesActuator(ActSettings(kube_context="elsewhere", environments=BOUND))
    with pytest.raises(HomeostatError):
        await actuator.describe(CART)
    await actuator.close()
