"""`homeostat telemetry whois` explains how names came to be."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from connectors.otlp.identity import IdentityRules
from contracts.frames import AddressFrame, pack
from contracts.ports import Record
from contracts.settings import GraphSettings, load
from contracts.topics import ADDRESSES
from contracts.units import SECOND
from graph.stores import open_store
from homeostat.cli.app import cli
from homeostat.cli.whois import Seen, _of_log, explained
from tests.unit.connectors.otlp.builders import as_json, traces

CLIENT, SERVER = 3, 2
WEB = {
    "service.name": "web",
    "k8s.namespace.name": "prod",
    "k8s.pod.name": "web-7d9f8b6c5d-x2x4z",
    "deployment.environment": "live",
}
CART = {"service.name": "cart", "service.namespace": "shop", "service.instance.id": "cart-1"}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Calls of web to a bank and, by an address, to cart."""

    def call(number: int, host: str) -> dict[str, Any]:
        ids = {"trace_id": number.to_bytes(16, "big"), "span_id": number.to_bytes(8, "big")}
        return {**ids, "kind": CLIENT, "attributes": {"server.address": host}}

    calls = [call(1, "10.0.0.7"), call(2, "api.bank.example"), call(3, "10.0.0.7")]
    served = {
        "trace_id": (3).to_bytes(16, "big"),
        "span_id": bytes(7) + b"\x63",
        "parent_span_id": (3).to_bytes(8, "big"),
        "kind": SERVER,
    }
    path = tmp_path / "recording.jsonl"
    path.write_bytes(as_json(traces(WEB, *calls)) + b"\n" + as_json(traces(CART, served)) + b"\n")
    return path


def whois(name: str, recording: Path, *options: str) -> str:
    result = CliRunner().invoke(cli, ["telemetry", "whois", name, str(recording), *options], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("name", ["web", "prod/web", "Prod/Web", "web-7d9f8b6c5d-x2x4z"])
def test_a_service_by_name_or_pod(name: str, recording: Path) -> None:
    said = whois(name, recording)
    assert "prod/web in environment live" in said
    assert "its name is from service.name, its namespace from k8s.namespace.name" in said
    assert "its environment from deployment.environment" in said
    assert "web-7d9f8b6c5d-x2x4z" in said


def test_an_address_at_which_a_service_answers(recording: Path) -> None:
    said = whois("10.0.0.7", recording)
    assert "external:10.0.0.7 is whom prod/web (2) call, by its address alone" in said
    assert "shop/cart (1) answered there" in said


@pytest.mark.parametrize("asked", ["10.0.0.7", "10.0.0.7:8080", "external:10.0.0.7"])
def test_an_address_that_changed_hands_is_told_of_each_owner_with_its_time(asked: str, tmp_path: Path) -> None:
    def call(number: int, by: str, at_s: int, environment: str = "live") -> list[bytes]:
        ids = {"trace_id": number.to_bytes(16, "big"), "span_id": number.to_bytes(8, "big")}
        times = {"start_time_unix_nano": at_s * SECOND, "end_time_unix_nano": at_s * SECOND + 5}
        made = {**ids, **times, "kind": CLIENT, "attributes": {"server.address": "10.0.0.7", "server.port": 8080}}
        served = {**ids, **times, "span_id": bytes(7) + b"\x63", "parent_span_id": ids["span_id"], "kind": SERVER}
        resource = {"service.name": by, "deployment.environment": environment}
        return [as_json(traces(WEB, made)), as_json(traces(resource, served))]

    calls = [call(n, "cart", 100 + n) for n in range(1, 11)] + [call(n, "pay", 200 + n) for n in range(11, 16)]
    calls += [call(n, "blog", 300 + n, "test") for n in range(20, 23)]
    path = tmp_path / "recording.jsonl"
    path.write_bytes(b"\n".join(message for some in reversed(calls) for message in some))
    said = whois(asked, path).splitlines()
    at, meant = "1970-01-01T00:0", "calls to it of that time are calls to that service"
    assert said[1:] == [
        f"  cart (10) answered there in environment live since {at}1:41.000Z until {at}3:31.000Z: {meant}",
        f"  pay (5) answered there in environment live since {at}3:31.000Z: {meant}",
        "  blog (3) answered there in environment test: calls to it are calls to that service",
    ]


def test_an_address_outside(recording: Path) -> None:
    for name in ("api.bank.example", "external:api.bank.example"):
        assert "nobody who sends telemetry answered there" in whois(name, recording)


def test_a_name_that_nothing_has(recording: Path) -> None:
    assert "nothing in this telemetry is called mars" in whois("mars", recording)
    assert json.loads(whois("mars", recording, "--json")) == []


def test_what_a_running_homeostat_knows_is_told_too(tmp_path: Path) -> None:
    with contextlib.closing(open_store(GraphSettings(), tmp_path)) as store:
        store.write(
            "upsert_services", [service_row("prod/cart", '{"k8s.deployment.name":"cart"}'), service_row("web", "")]
        )
        call = {
            "caller_key": "live|web",
            "callee_key": "live|prod/cart",
            "valid_from": 1,
            "valid_to": 0,
            "last_seen": 9,
        }
        store.write("upsert_calls", [call | {"calls": 1, "errors": 0, "source": "spans", "confidence": 1.0}])
        owner, pod = "live|replicaset/prod/cart-7d9f8b6c5d", "live|pod/prod/cart-7d9f8b6c5d-x2x4z"
        rows = [object_row("Deployment", "cart"), object_row("ReplicaSet", "cart-7d9f8b6c5d")]
        store.write("upsert_objects", [*rows, object_row("Pod", "cart-7d9f8b6c5d-x2x4z", uid="u-1")])
        links = [("live|deployment/prod/cart", owner), (owner, pod)]
        store.write(
            "link_objects",
            [{"from_id": a, "to_id": b, "link": "owns", "valid_from": 1, "valid_to": 0, "time": 1} for a, b in links],
        )
        deployed = {"service_key": "live|prod/cart", "object_id": "live|deployment/prod/cart"}
        deployed |= {"valid_from": 1, "valid_to": 0, "time": 1}
        store.write("link_services", [deployed])

    def asked(name: str) -> str:
        result = CliRunner().invoke(cli, ["--data-dir", str(tmp_path), "telemetry", "whois", name])
        assert result.exit_code == 0, result.output
        return result.output

    for name in ("cart", "prod/cart"):
        assert "prod/cart in environment live is known as a service" in asked(name)
        assert "its senders claim k8s.deployment.name=cart; called by web" in asked(name)
    assert "nothing of its own telemetry names it" in asked("web")
    for name in ("cart-7d9f8b6c5d-x2x4z", "u-1"):
        assert "owned by replicaset/prod/cart-7d9f8b6c5d, deployment/prod/cart; is the service prod/cart" in asked(name)
    assert "nothing in this telemetry is called mars" in asked("mars")


async def test_what_the_cluster_says_of_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def frame(time_ns: int, service: str, since_ns: int) -> bytes:
        return pack(
            AddressFrame(
                environment="live",
                part=0,
                time_ns=time_ns,
                names=("10.96.0.1", "cart"),
                namespaces=("", "shop"),
                stands_for=(service, service),
                objects=("service/shop/cart", "service/shop/cart"),
                from_ns=np.array([since_ns, since_ns], np.int64),
                headless=np.zeros(2, np.bool_),
                callers=(),
                homes=(),
            )
        )

    class Log:
        async def read(self, topics: list[str], *, last: int = 0) -> AsyncIterator[Record]:
            for i, value in enumerate(
                (frame(30 * SECOND, "blue", SECOND), frame(90 * SECOND, "green", 60 * SECOND), b"?")
            ):
                if topics == [ADDRESSES]:
                    yield Record(ADDRESSES, 0, i, b"live/0", value)

    @contextlib.asynccontextmanager
    async def on_log(*_: Any) -> AsyncIterator[tuple[Log, Any]]:
        yield Log(), load({})

    monkeypatch.setattr("homeostat.cli.whois.connected", on_log)
    seen = Seen(IdentityRules(("deployment.environment",), ()))
    await _of_log(click.Context(cli), None, 10, seen)
    over, now = explained("10.96.0.1", seen)
    assert over == (
        "10.96.0.1 is service/shop/cart of environment live's cluster, since 1970-01-01T00:00:01.000Z until 1970-01-01T00:01:00.000Z:"
        " calls to it are calls to blue"
    )
    assert now.endswith("since 1970-01-01T00:01:00.000Z: calls to it are calls to green")
    assert [line.partition(" is ")[0] for line in explained("cart", seen)] == [
        "cart, called in the namespace shop,"
    ] * 2
    assert len(list(explained("external:cart.shop.svc", seen))) == 2


def service_row(name: str, attributes: str) -> dict[str, Any]:
    """A service of the graph."""
    row = {"key": f"live|{name}", "environment": "live", "service": name, "kind": "service", "version": ""}
    return row | {"attributes": attributes, "first_seen": 1, "last_seen": 9}


def object_row(kind: str, name: str, uid: str = "u") -> dict[str, Any]:
    """An object of the graph."""
    row = {
        "id": f"live|{kind.lower()}/prod/{name}",
        "environment": "live",
        "kind": kind,
        "namespace": "prod",
        "name": name,
    }
    return row | {"uid": uid, "version": "", "state": "", "replicas": 0, "valid_from": 1, "valid_to": 0, "time": 1}


def test_the_environment_of_the_settings(recording: Path) -> None:
    said = whois("cart", recording)
    assert "shop/cart in environment default" in said
    assert "its environment from the settings" in said
