"""Who sent it: names of what deploys a service, never an address."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.otlp.identity import IdentityRules, identify, is_address
from contracts.frames.decoded import Resource
from contracts.settings import load


def resource(**attributes: Any) -> Resource:
    """The resource of attributes written with underscores for dots."""
    return identify({k.replace("_", "."): v for k, v in attributes.items()}, "default").resource


@pytest.mark.parametrize(
    ("attributes", "service"),
    [
        ({"service_name": "cart"}, "cart"),
        ({"service_name": "cart", "service_namespace": "shop"}, "shop/cart"),
        ({"service_name": "cart", "k8s_namespace_name": "prod"}, "prod/cart"),
        ({"service_name": "cart", "k8s_namespace_name": "staging"}, "staging/cart"),
        ({"service_name": "cart", "service_namespace": "shop", "k8s_namespace_name": "prod"}, "shop/cart"),
        ({"k8s_deployment_name": "cart", "k8s_namespace_name": "prod"}, "prod/cart"),
        ({"k8s_deployment_name": "cart", "k8s_pod_name": "cart-1"}, "cart"),
        ({"k8s_statefulset_name": "db", "service_namespace": "shop"}, "shop/db"),
        ({"service_name": "10.0.0.7", "k8s_daemonset_name": "agent"}, "agent"),
        ({"service_name": "10.0.0.7:8080"}, "unknown_service"),
        ({"service_name": "[2001:db8::1]:80"}, "unknown_service"),
        ({"service_name": "unknown_service:java", "container_name": "cart"}, "cart"),
        ({"service_name": "unknown_service:java"}, "unknown_service:java"),
        ({"process_executable_name": "python3"}, "python3"),
        ({"host_name": "node-1"}, "unknown_service"),
        ({}, "unknown_service"),
    ],
)
def test_service(attributes: dict[str, str], service: str) -> None:
    assert resource(**attributes).service == service


@pytest.mark.parametrize(
    ("attributes", "environment"),
    [
        ({"deployment_environment_name": "prod", "deployment_environment": "old"}, "prod"),
        ({"deployment_environment": "staging", "k8s_cluster_name": "eu"}, "staging"),
        ({"k8s_cluster_name": "eu"}, "eu"),
        ({"deployment_environment": " prod\t"}, "prod"),
        ({}, "default"),
    ],
)
def test_environment(attributes: dict[str, str], environment: str) -> None:
    assert resource(service_name="a", **attributes).environment == environment


RULES: list[tuple[dict[str, str], tuple[str, ...], str]] = [
    ({"k8s.namespace.name": "staging"}, ("k8s.namespace.name",), "staging"),
    ({"env": "qa", "deployment.environment": "prod"}, ("env", "deployment.environment"), "qa"),
    ({"deployment.environment": "prod"}, ("env", "deployment.environment"), "prod"),
    ({"k8s.cluster.name": "c1", "k8s.namespace.name": "shop"}, ("{k8s.cluster.name}-{k8s.namespace.name}",), "c1-shop"),
    ({"k8s.cluster.name": "c1"}, ("{k8s.cluster.name}-{k8s.namespace.name}", "k8s.cluster.name"), "c1"),
    ({"cloud.account.id": "42", "cloud.region": "eu"}, ("{cloud.account.id}/{cloud.region}",), "42/eu"),
    ({"tags.stage": "dev"}, ("tags.stage",), "dev"),
    ({"aws.ecs.cluster.arn": "arn:x"}, ("aws.ecs.cluster.arn",), "arn:x"),
    ({"faas.name": "pay", "cloud.account.id": "7"}, ("cloud.account.id",), "7"),
    ({"service.name": "a"}, ("env",), "default"),
    ({"env": ""}, ("env",), "default"),
    ({"env": "qa"}, (), "default"),
]


@pytest.mark.parametrize(("attributes", "rule", "environment"), RULES)
def test_the_environment_is_told_by_rule_from_any_attribute(
    attributes: dict[str, str], rule: tuple[str, ...], environment: str
) -> None:
    assert identify(attributes, "default", IdentityRules(environment=rule)).resource.environment == environment


def test_the_namespace_is_told_by_rule() -> None:
    attributes = {"service.name": "cart", "k8s.namespace.name": "prod", "k8s.cluster.name": "c1", "team": "shop"}
    for rule, service in (
        (("service.namespace",), "cart"),
        (("team", "k8s.namespace.name"), "shop/cart"),
        (("{k8s.cluster.name}.{k8s.namespace.name}",), "c1.prod/cart"),
        ((), "cart"),
    ):
        assert identify(attributes, "default", IdentityRules(namespace=rule)).resource.service == service


def test_rules_of_the_settings_reach_the_decoder() -> None:
    settings = load({"ingest": {"environment_from": ["env"], "namespace_from": ["team"]}})
    assert (settings.ingest.environment_from, settings.ingest.namespace_from) == (("env",), ("team",))


def test_version_and_instance() -> None:
    assert resource(service_name="a", service_version="2", container_image_tags=["x"]).version == "2"
    assert resource(service_name="a", container_image_tags=["7.1", "latest"]).version == "7.1"
    assert resource(service_name="a", k8s_pod_uid="u", k8s_pod_name="p").instance == "u"
    assert resource(service_name="a", host_name="h").instance == "h"


def test_attributes_are_sorted_and_only_those_of_the_workload() -> None:
    found = resource(service_name="a", k8s_pod_name="p", telemetry_sdk_name="x", process_pid=7)
    assert found.attributes == (("k8s.pod.name", "p"), ("process.pid", "7"), ("service.name", "a"))


def test_the_key_depends_on_all_attributes_in_any_order() -> None:
    one = identify({"service.name": "a", "x": 1}, "default")
    assert one.key == identify({"x": 1, "service.name": "a"}, "default").key
    assert one.key != identify({"service.name": "a", "x": 2}, "default").key
    assert one.key == 15200571360468824086


@given(st.ip_addresses(), st.integers(0, 65535))
def test_no_address_is_a_name(address: Any, port: int) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    assert is_address(str(address))
    assert is_address(f"{host}:{port}")
    assert resource(service_name=f"{host}:{port}").service == "unknown_service"


@pytest.mark.parametrize(
    ("attributes", "address"),
    [
        ({"service.name": "a", "k8s.pod.ip": "10.1.2.3"}, "10.1.2.3"),
        ({"service.name": "a", "service.instance.id": "10.1.2.3:8080"}, "10.1.2.3"),
        ({"service.name": "a", "net.host.ip": "10.1.2.3"}, "10.1.2.3"),
        ({"service.name": "a", "host.ip": ["10.1.2.3", "fe80::1"]}, "10.1.2.3"),
        ({"service.name": "a", "service.instance.id": "a-1"}, ""),
        ({"service.name": "a", "service.instance.id": "127.0.0.1:8080"}, ""),
        ({"service.name": "a", "service.instance.id": "10.1.2.3:8080", "k8s.pod.name": "a-0"}, ""),
        ({"service.name": "a", "host.ip": "10.1.2.3", "k8s.deployment.name": "a"}, ""),
    ],
)
def test_whom_no_cluster_names_is_known_by_its_address(attributes: dict[str, Any], address: str) -> None:
    assert dict(identify(attributes, "prod").resource.attributes).get("k8s.pod.ip", "") == address
