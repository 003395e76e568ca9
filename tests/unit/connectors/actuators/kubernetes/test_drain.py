"""Draining a node of one workload's pods: the node is set aside first, only its own pods go, and nothing is done where the node can't be."""

from __future__ import annotations

import pytest

from connectors.actuators.kubernetes import KubernetesActuator
from connectors.actuators.kubernetes.nodes_aside import SET_ASIDE, ZONE_LABEL
from contracts.errors import ActionFailed, InvalidTarget
from contracts.ports import Applied
from tests.unit.connectors.actuators.kubernetes.api_server import ApiServer
from tests.unit.connectors.actuators.kubernetes.test_actuator import step


def place(cluster: ApiServer, *nodes: str) -> None:
    """The pods of cart run there, one after another; new ones elsewhere."""
    for pod, node in zip(cluster.pods, nodes, strict=False):
        pod["spec"]["nodeName"] = node


def evicted(cluster: ApiServer) -> list[str]:
    return [path.split("/")[-2] for method, path, _, _ in cluster.requests if method == "POST"]


def written(cluster: ApiServer) -> list[str]:
    """What was written to, in order."""
    return [path.split("/")[-2 if path.endswith("eviction") else -1] for _, path, _, _ in cluster.requests]


async def test_the_node_is_set_aside_first_and_only_its_own_pods_there_go(
    actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    place(cluster, "node-a", "node-b")
    there = cluster.pods[0]["metadata"]["name"]
    result = await actuator.apply(await step(actuator, "drain", node="node-a", set="aside"))
    assert result.text.startswith("node node-a set aside; 1 pod of cart evicted from it")
    assert evicted(cluster) == [there]
    assert written(cluster)[0] == "node-a"
    assert (cluster.nodes[0]["spec"], cluster.nodes[1]["spec"]) == ({"unschedulable": True}, {})
    assert cluster.nodes[0]["metadata"]["annotations"] == {SET_ASIDE: "run/step/1"}


async def test_it_is_done_once(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    place(cluster, "node-a", "node-b")
    request = await step(actuator, "drain", node="node-a", set="aside")
    assert await actuator.applied(request) is Applied.NO
    await actuator.apply(request)
    assert await actuator.applied(request) is Applied.YES
    await actuator.apply(request)
    assert len(evicted(cluster)) == 1


async def test_pods_go_one_after_another(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    place(cluster, "node-a", "node-a")
    names = sorted(p["metadata"]["name"] for p in cluster.pods if p["spec"].get("nodeName") == "node-a")
    cluster.stuck = True
    result = await actuator.apply(await step(actuator, "drain", node="node-a", set="aside"))
    assert "1 of 2 pods of cart evicted so far" in result.text
    cluster.stuck = False
    result = await actuator.apply(await step(actuator, "drain", "run/step/2", node="node-a", set="aside"))
    assert sorted(evicted(cluster)) == names


async def test_without_the_right_to_set_it_aside_no_pod_goes(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    place(cluster, "node-a", "node-b")
    for right in ("nodes-patched", "nodes"):
        cluster.forbidden = {right}
        with pytest.raises(ActionFailed, match="node node-a can't be set aside") as caught:
            await actuator.apply(await step(actuator, "drain", node="node-a", set="aside"))
        assert "homeostat-node-drainer" in caught.value.fix
    assert evicted(cluster) == []


async def test_one_that_is_aside_already_needs_no_right_to_be(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    place(cluster, "node-a", "node-b")
    cluster.nodes[0]["spec"]["unschedulable"] = True
    cluster.forbidden = {"nodes-patched"}
    result = await actuator.apply(await step(actuator, "drain", node="node-a", set="aside"))
    assert result.text.startswith("node node-a had been set aside")
    assert len(evicted(cluster)) == 1


async def test_too_few_nodes_may_not_be_left(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    place(cluster, "node-a", "node-b")
    cluster.nodes[1]["spec"]["unschedulable"] = True
    cluster.nodes[2]["status"]["conditions"][0]["status"] = "Unknown"
    with pytest.raises(ActionFailed, match="without node node-a only 1 of 4 nodes would take pods"):
        await actuator.apply(await step(actuator, "drain", node="node-a", set="aside"))
    assert (evicted(cluster), cluster.nodes[0]["spec"]) == ([], {})


async def test_a_budget_that_forbids_it_leaves_the_node_as_it_was(
    actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    place(cluster, "node-a", "node-b")
    cluster.disruptions = 0
    with pytest.raises(ActionFailed, match="PodDisruptionBudget forbids it"):
        await actuator.apply(await step(actuator, "drain", node="node-a", set="aside"))
    assert (cluster.nodes[0]["spec"], cluster.nodes[0]["metadata"]["annotations"]) == ({}, {})


async def test_a_budget_that_forbids_it_leaves_aside_what_another_move_needs_so(
    actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    """Of a sick node one service after another is moved: that one can't be is no reason to put pods there again."""
    place(cluster, "node-a", "node-b")
    annotations = cluster.nodes[0]["metadata"]["annotations"]
    cluster.nodes[0]["spec"]["unschedulable"], annotations[SET_ASIDE] = True, "another/step/1"
    cluster.disruptions = 0
    with pytest.raises(ActionFailed, match="PodDisruptionBudget forbids it"):
        await actuator.apply(await step(actuator, "drain", node="node-a", set="aside"))
    assert (cluster.nodes[0]["spec"], annotations) == ({"unschedulable": True}, {SET_ASIDE: "another/step/1"})


async def test_a_node_on_which_it_has_nothing_is_left_alone(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    place(cluster, "node-a", "node-b")
    with pytest.raises(ActionFailed, match="has no pod on node 'node-c'"):
        await actuator.apply(await step(actuator, "drain", node="node-c", set="aside"))
    assert cluster.requests == []
    place(cluster, "../x", "node-b")
    with pytest.raises(InvalidTarget):
        await actuator.apply(await step(actuator, "drain", node="../x", set="aside"))


async def test_only_what_was_set_aside_so_is_given_back(actuator: KubernetesActuator, cluster: ApiServer) -> None:
    place(cluster, "node-a", "node-b")
    await actuator.apply(await step(actuator, "drain", node="node-a", set="aside"))
    await actuator.apply(await step(actuator, "drain", "run/back/1", node="node-a", set="back"))
    assert (cluster.nodes[0]["spec"], cluster.nodes[0]["metadata"]["annotations"]) == ({}, {})
    cluster.nodes[1]["spec"]["unschedulable"] = True
    result = await actuator.apply(await step(actuator, "drain", "run/back/2", node="node-b", set="back"))
    assert "was not set aside by us" in result.text
    assert cluster.nodes[1]["spec"] == {"unschedulable": True}


async def test_of_the_last_that_serves_a_successor_is_started_first(
    actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    cluster.cart["spec"]["replicas"] = 1
    cluster.cart["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    cluster.cart["status"]["readyReplicas"] = 1
    place(cluster, "node-a", "node-a", "node-a")
    for pod in cluster.pods:
        pod["spec"]["nodeName"] = "node-a"
    result = await actuator.apply(await step(actuator, "drain", node="node-a", set="aside"))
    assert "node node-a set aside; cart restarted" in result.text
    assert (evicted(cluster), written(cluster)[0]) == ([], "node-a")


def zoned(cluster: ApiServer, *zones: str) -> None:
    """The nodes are in these zones, one after another."""
    for node, zone in zip(cluster.nodes, zones, strict=True):
        node["metadata"]["labels"] = {ZONE_LABEL: zone}


async def test_all_nodes_of_a_zone_are_set_aside_before_any_pod_goes(
    actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    place(cluster, "node-a", "node-c")
    zoned(cluster, "z1", "z1", "z2", "z2")
    there = cluster.pods[0]["metadata"]["name"]
    result = await actuator.apply(await step(actuator, "drain", zone="z1", set="aside"))
    assert "node node-a set aside; node node-b set aside" in result.text
    assert (evicted(cluster), written(cluster)[:2]) == ([there], ["node-a", "node-b"])
    back = await actuator.apply(await step(actuator, "drain", "run/step/2", zone="z1", set="back"))
    assert "node node-a takes pods again; node node-b takes pods again" in back.text
    assert all(not n["spec"].get("unschedulable") for n in cluster.nodes)


async def test_no_node_of_a_zone_is_set_aside_where_too_few_would_be_left(
    actuator: KubernetesActuator, cluster: ApiServer
) -> None:
    place(cluster, "node-a", "node-b")
    zoned(cluster, "z1", "z1", "z1", "z2")
    with pytest.raises(ActionFailed, match="without nodes node-a, node-b, node-c only 1 of 4 nodes would take pods"):
        await actuator.apply(await step(actuator, "drain", zone="z1", set="aside"))
    with pytest.raises(ActionFailed, match="has no pod in zone"):
        await actuator.apply(await step(actuator, "drain", zone="z9", set="aside"))
    assert (evicted(cluster), cluster.nodes[0]["spec"]) == ([], {})
