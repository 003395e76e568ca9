"""The YAML topology: what it says, and what is said about its mistakes."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidSettings
from graph.topology_file import parse_topology, read_topology

GOOD = """
environment: shop
services:
  web:
    calls: [cart, cart]
  cart:
    kind: service
    version: "1.4"
    labels: {team: orders, tier: gold}
    calls: [db:postgresql/orders]
  db:postgresql/orders:
    kind: database
"""


def test_good(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(GOOD)
    topology = read_topology(tmp_path / "t.yaml", "default")
    assert topology.environment == "shop"
    assert topology.calls == (("web", "cart"), ("cart", "db:postgresql/orders"))
    assert topology.services[1].labels == {"team": "orders", "tier": "gold"}
    services, calls, retire = topology.writes(7)
    assert (services.statement, calls.statement) == ("declare_services", "upsert_calls")
    assert services.rows[1]["key"] == "shop|cart"
    assert json.loads(services.rows[1]["labels"]) == {"team": "orders", "tier": "gold"}
    assert (calls.rows[0]["source"], calls.rows[0]["confidence"]) == ("yaml", 1.0)
    assert retire.rows[0]["kept"] == ["shop|web>shop|cart", "shop|cart>shop|db:postgresql/orders"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "t.yaml:1:1: expected a mapping with `services:`"),
        ("- a", "t.yaml:1:1: expected a mapping with `services:`"),
        ("environment: x", "t.yaml:1:1: expected `services:` with a mapping of at least one service"),
        ("services: [a]", "t.yaml:1:11: expected `services:` with a mapping of at least one service"),
        ("servces:\n  a:", "t.yaml:1:1: unknown field 'servces', did you mean 'services'?"),
        ("services:\n  a:\n    labls: {}", "t.yaml:3:5: unknown field 'labls', did you mean 'labels'?"),
        ("services:\n  a:\n    zzz: {}", "t.yaml:3:5: unknown field 'zzz', valid: kind, version, labels, calls"),
        ("services:\n  cart:\n  web:\n    calls: [crat]", "t.yaml:4:13: unknown service 'crat', did you mean 'cart'?"),
        ("services:\n  web:\n    calls: [x]", "t.yaml:3:13: unknown service 'x', declare it under `services:`"),
        ("services:\n  web:\n    calls: x", "t.yaml:3:12: expected `calls:` with a list of services"),
        ("services:\n  web:\n    calls: [[x]]", "t.yaml:3:13: expected the name of a service, not ['x']"),
        ("services:\n  a:\n    version: 1.4", "t.yaml:3:14: version: expected text, not 1.4; put it in quotes"),
        ("services:\n  a:\n    labels: x", "t.yaml:3:13: expected `labels:` with a mapping of text to text"),
        ("services:\n  a: x", "t.yaml:2:6: expected a mapping with kind, version, labels, calls, or nothing"),
        ("services:\n  a|b: ", "t.yaml:2:3: a service name is text without '|', not 'a|b'"),
        ("services: {a: {calls: [b]", "t.yaml:1:26: expected ',' or '}', but got '<stream end>'"),
        ("services:\n  a:\n  a:", 't.yaml:3:3: found duplicate key "a" with value "None" (original value: "None")'),
    ],
)
def test_mistakes(source: str, message: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse_topology(source, "t.yaml", "e")
    assert message in caught.value.message.splitlines()
    assert caught.value.reason == "invalid_topology"


def test_all_mistakes_at_once_in_the_order_of_the_file() -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse_topology("services:\n  a:\n    calls: [b]\n    kid: x\n  c: 5\nmore: 1", "t.yaml", "e")
    assert [line.split(": ")[0] for line in caught.value.message.splitlines()] == [
        "t.yaml:3:13",
        "t.yaml:4:5",
        "t.yaml:5:6",
        "t.yaml:6:1",
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"nope\.yaml: No such file"):
        read_topology(tmp_path / "nope.yaml", "e")


@given(st.text(alphabet="services:\n {}[],-|&*!'\"abc01#?%@`\t\x00", max_size=60))
def test_any_text_is_a_topology_or_a_named_mistake(source: str) -> None:
    with contextlib.suppress(InvalidSettings):  # any other exception fails
        assert parse_topology(source, "t.yaml", "e").services
