"""The compose file keeps its promises, each promise is really checked, and Homeostat accepts the settings it is given."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from contracts.settings import load
from contracts.topics import TOPICS
from tools import compose

DOCUMENT = compose.read_compose(compose.ROOT / "docker-compose.yml")


def problems(**service: Any) -> list[str]:
    good: dict[str, Any] = {"image": "a:1", "healthcheck": {"test": ["CMD", "true"]}}
    return list(
        compose.promise_problems({"services": {"s": good | service}, "volumes": {"data": None}}, Path("absent"))
    )


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ({"healthcheck": {"disable": True}}, "s: neither a health check nor a one-shot that others wait for"),
        ({"healthcheck": {"disable": True}, "restart": "no"}, "s: neither a health check nor a one-shot"),
        ({"environment": {"DB_PASSWORD": "changeme"}}, "s: DB_PASSWORD holds a literal or optional secret"),
        ({"environment": ["DB_PASSWORD=changeme"]}, "s: DB_PASSWORD holds a literal or optional secret"),
        ({"environment": {"NEO4J_AUTH": "neo4j/${PW:-neo4j}"}}, "s: NEO4J_AUTH holds a literal or optional secret"),
        ({"image": "kafka"}, "s: image 'kafka' is not pinned to a version"),
        ({"image": "kafka:latest"}, "s: image 'kafka:latest' is not pinned to a version"),
        ({"ports": ["9092:9092"]}, "s: port 9092:9092 is published beyond loopback"),
        ({"volumes": ["./nowhere:/etc/x:ro"]}, "s: mounts ./nowhere, which is not in the repository"),
        ({"volumes": ["${X:-./nowhere}:/etc/x"]}, "s: mounts ./nowhere, which is not in the repository"),
        ({"volumes": ["other:/data"]}, "s: mounts volume other, which is not declared"),
    ],
)
def test_a_broken_promise_is_named(service: dict[str, Any], message: str) -> None:
    (problem,) = problems(**service)
    assert problem.startswith(message)


def test_a_kept_promise_is_silent() -> None:
    secret = {"DB_PASSWORD": "${PW:?set PW}"}
    assert problems(environment=secret, ports=["127.0.0.1:${P:-1}:1"], volumes=["data:/data", "./:/x"]) == [
        "s: mounts ./, which is not in the repository"
    ]


def test_the_schema_is_asked() -> None:
    (problem,) = compose.schema_problems({"services": {"s": {"imagine": "a:1"}}})
    assert problem.startswith("services.s: ")
    assert "imagine" in problem


def test_homeostat_accepts_the_settings_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in DOCUMENT["services"]["homeostat"]["environment"].items():
        plain = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        monkeypatch.setenv(key, re.sub(r"\$\{\w+:\?[^}]*\}", "given", plain))
    settings = load()
    assert settings.graph.store == "neo4j"
    assert settings.graph.password.get_secret_value() == "given"
    assert settings.act.actuators == ("dry-run",)
    assert settings.act.policy.startswith("http://opa:8181/")


def test_every_variable_is_in_the_example_environment() -> None:
    used = set(re.findall(r"\$\{(\w+)", (compose.ROOT / "docker-compose.yml").read_text()))
    example = (compose.ROOT / ".env.example").read_text()
    assert used == set(re.findall(r"^(?:# )?(\w+)=", example, re.MULTILINE))
    assert re.search(r"^NEO4J_PASSWORD=$", example, re.MULTILINE), "the example sets no password"


def test_the_collector_writes_the_topics_that_are_read() -> None:
    config = YAML(typ="safe").load((compose.ROOT / "deploy/collector/config.yaml").read_text())
    kafka = config["exporters"]["kafka"]
    for signal in ("traces", "metrics", "logs"):
        assert kafka[signal]["topic"] in TOPICS
        assert config["service"]["pipelines"][signal]["exporters"] == ["kafka"]
