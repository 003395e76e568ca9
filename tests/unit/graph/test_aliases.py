"""Callers' names for their callees: which are services', and whose."""

from __future__ import annotations

import pytest

from contracts.settings import DiagnoseSettings
from graph.diagnosis.engine import DiagnosisEngine
from graph.world.aliases import COUNTED_NS, PATIENCE_NS, Aliases
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


def test_whom_spans_were_joined_with_is_whom_a_name_stands_for() -> None:
    topology = Topology()
    for name in ("core/cart", "batch/cart", "core/web"):
        topology.see(name, 0, own=True)
    known = Aliases(topology)
    assert known.resolve("core/web", "external:cart", 0) == "core/cart"
    topology.call("core/web", "core/cart", 0, 1, 0)
    assert known.resolve("core/web", "batch/cart", 1) == "batch/cart"
    assert known.views == {}
    assert not topology.callees_at("core/web", 1), "what it was taken for before is no call of it"
    assert known.resolve("core/web", "external:cart", 2) == "", "joined spans count it"
    assert known.views == {("core/web", "batch/cart"): "external:cart"}
    assert known.resolve("core/web", "external:cart", 2 + COUNTED_NS) == "batch/cart", "and do so no more"


def test_calls_that_their_caller_alone_tells_of_go_on() -> None:
    """What is joined is counted already; of who sends no spans nothing ever is."""
    topology = Topology()
    for name in ("web", "shop/cart", "shop/stock"):
        topology.see(name, 0, own=True)
    known = Aliases(topology)
    for at in range(3):
        assert known.resolve("web", "external:cart", at) == "shop/cart"
        topology.call("web", "shop/cart", at, 1, 0)
    known.resolve("web", "shop/stock", 3)
    topology.call("web", "shop/stock", 3, 1, 0)
    assert known.resolve("web", "external:stock.shop.svc", 4) == ""


def test_a_name_for_several_services_that_a_caller_calls_is_nobodys_row() -> None:
    known = aliases("core/cart", "batch/cart", "core/web")
    for at, callee in enumerate(("core/cart", "batch/cart")):
        known.resolve("core/web", callee, at)
        known.resolve("core/web", "external:cart", at)
    assert known.resolve("core/web", "external:cart", PATIENCE_NS) == ""
    assert known.views == {}
    assert known.resolve("core/app", "external:cart", 0) == "core/cart", "another caller means its neighbour"


def test_who_calls_a_service_of_its_own_name_does_not_call_itself() -> None:
    known = aliases("core/cart", "batch/cart")
    assert known.resolve("core/cart", "external:cart", 0) == "batch/cart"
    assert known.resolve("batch/cart", "external:cart", 0) == "core/cart"


def test_who_left_is_joined_with_nobody() -> None:
    known = aliases("core/cart", "batch/cart", "core/web")
    known.resolve("core/web", "batch/cart", 0)
    known.forget({"batch/cart"})
    assert known.resolve("core/web", "external:cart", 1) == "core/cart"


def test_names_stand_for_the_same_services_after_a_restart() -> None:
    before, after = (DiagnosisEngine("prod", DiagnoseSettings()) for _ in range(2))
    before.world.topology.see("shop/cart", 0, own=True)
    after.restore(before.snapshot())
    assert after.world.aliases.resolve("shop/web", "external:cart", 1) == "shop/cart"
