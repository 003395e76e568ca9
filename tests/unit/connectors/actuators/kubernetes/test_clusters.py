"""Which cluster an environment stands for."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.actuators.kubernetes import KubernetesActuator
from contracts.errors import ActuatorUnavailable, Forbidden, InvalidTarget
from contracts.ports import Target
from contracts.settings import ActSettings
from tests.unit.connectors.actuators.kubernetes.api_server import CLUSTER, ApiServer, Misbehaviour

ATTRIBUTES = {"k8s.namespace.name": "shop", "k8s.deployment.name": "cart"}


async def resolved(environment: str = "production", **environments: dict[str, Any]) -> str:
    """The key of what `cart` is there."""
    actuator = KubernetesActuator(ActSettings.model_validate({"environments": environments}))
    try:
        return (await actuator.resolve(Target(environment, "cart", ATTRIBUTES))).key
    finally:
        await actuator.close()


async def test_what_is_not_bound_is_nothing_and_nobody_is_asked(cluster: ApiServer) -> None:
    for environment in ("staging", "production/../staging", ""):
        with pytest.raises(InvalidTarget, match=r"is bound to nothing: act\.environments would need") as caught:
            await resolved(environment, production={})
        assert caught.value.reason == "unbound_environment"
    with pytest.raises(InvalidTarget, match="bound to process only"):
        await resolved(production={"actuators": ["process"]})
    assert cluster.asked == []


async def test_by_context_or_by_uid(cluster: ApiServer) -> None:
    key = f"kubernetes:{CLUSTER}/Deployment/shop/cart"
    for where in ("", "here", CLUSTER):
        assert await resolved(production={"cluster": where}) == key
    other = CLUSTER.replace("0", "1")
    with pytest.raises(InvalidTarget, match=f"bound to cluster {other}, and this is {CLUSTER}"):
        await resolved(production={"cluster": other})


async def test_namespaces_are_an_environments_own(cluster: ApiServer) -> None:
    assert await resolved(production={"namespaces": ["shop"]})
    cluster.asked.clear()
    with pytest.raises(
        InvalidTarget, match="namespace shop is not one of those that environment 'production' is bound"
    ):
        await resolved(production={"namespaces": ["pay"]})
    assert cluster.asked == []


async def test_two_contexts_of_one_cluster_are_one_cluster(cluster: ApiServer) -> None:
    """What two environments reach would have two of every guard."""
    with pytest.raises(InvalidTarget, match="environments 'production' and 'staging' are bound to one cluster"):
        await resolved(production={"cluster": "here"}, staging={"cluster": ""})
    apart = {"production": {"cluster": "here", "namespaces": ["shop"]}, "staging": {"namespaces": ["pay"]}}
    assert await resolved(**apart)


async def test_a_cluster_of_others_that_is_away_stops_nobody(cluster: ApiServer) -> None:
    assert await resolved(production={"cluster": "here"}, staging={"cluster": "no-such-context"})


async def test_a_cluster_that_does_not_say_who_it_is_is_not_acted_on(cluster: ApiServer) -> None:
    cluster.misbehaviours.append(Misbehaviour("GET", 403))
    with pytest.raises(Forbidden):
        await resolved(production={})
    cluster.misbehaviours.append(Misbehaviour("GET", 503))
    with pytest.raises(ActuatorUnavailable):
        await resolved(production={})
