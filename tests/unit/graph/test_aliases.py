"""Callers' names for their callees: which are services', and whose."""

from __future__ import annotations

import pytest

from graph.world.aliases import PATIENCE_NS, Aliases
from graph.world.topology import Topology


def aliases(*services: str) -> Aliases:
    topology = Topology()
    for name in services:
        topology.see(name, 0, own=True)
    return Aliases(topology)


@pytest.mark.parametrize(
    ("named", "service"),
    [
        ("cart", "cart"),
        ("cart.shop", "shop/cart"),
        ("cart.shop.svc", "shop/cart"),
        ("cart.shop.svc.cluster.local", "shop/cart"),
        ("pay.internal", "pay"),
        ("pay.service.consul", "pay"),
        ("stock", "shop/stock"),
        ("stock.local", "shop/stock"),
    ],
)
def test_a_cluster_names_its_services(named: str, service: str) -> None:
    known = aliases("cart", "pay", "shop/cart", "shop/stock", "gateway")
    assert known.resolve("gateway", f"external:{named}", 0) == service


@pytest.mark.parametrize(
    "host", ["api.bank.example", "pay.com", "cart.example", "pay.eu-west-1.amazonaws.com", "pay.shop.example"]
)
def test_a_host_of_the_internet_is_no_service_of_the_same_first_name(host: str) -> None:
    known = aliases("api", "pay", "cart")
    assert known.resolve("web", f"external:{host}", 0) == ""
    assert known.resolve("web", f"external:{host}", PATIENCE_NS) == f"external:{host}"


def test_a_name_in_two_namespaces_is_the_callers_neighbour() -> None:
    known = aliases("prod/pay", "staging/pay", "prod/web", "staging/web", "gateway")
    assert known.resolve("staging/web", "external:pay", 0) == "staging/pay"
    assert known.resolve("prod/web", "external:pay", 0) == "prod/pay"
    assert known.resolve("staging/web", "external:pay", 1) == "staging/pay"
    assert known.resolve("gateway", "external:pay", 0) == ""
    assert known.resolve("prod/web", "external:pay.staging.svc.cluster.local", 0) == "staging/pay"
