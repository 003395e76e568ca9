"""`homeostat telemetry unmapped`: what can't be read is listed with a row, and with that row it can be read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from connectors.kafka.embedded import EmbeddedBroker
from connectors.otlp.conventions import conventions_of, standard
from connectors.otlp.flatten import UnreadMetric
from connectors.otlp.reasons import UNMAPPED_METRIC, UNMAPPED_UNIT
from connectors.otlp.suggestions import suggest
from contracts.settings import BrokerSettings, load
from contracts.topics import OTLP_METRICS
from homeostat.cli.app import cli
from tests.unit.connectors.encodings.writes import first
from tests.unit.connectors.otlp.builders import as_json, counter, gauge, histogram, metrics


def recorded() -> bytes:
    message, scope = metrics({"service.name": "shop"})
    for value in (1.0, 2.0, 3.0):
        gauge(scope, "shop.pool.waiters", value, "{request}")
    histogram(scope, "shop_checkout_duration_seconds", [1, 2], [0.1])
    gauge(scope, "process.memory.usage", 3.0, "Mo")
    counter(scope, "acme_container_cpu_usage_seconds_total", 3)
    gauge(scope, "http.client.active_requests", 3.0)
    gauge(scope, "process.memory.usage", 3.0, "By")
    return as_json(message)


def told(*arguments: str) -> str:
    found = CliRunner().invoke(cli, ["telemetry", "unmapped", *arguments])
    assert found.exit_code == 0, found.output
    return found.stdout


def test_what_is_listed_can_be_put_into_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(recorded() + b"\n" + recorded() + b"\n")
    text = told(str(file))
    assert text.splitlines()[0].split()[:3] == ["6", "points", "shop.pool.waiters"]
    assert "process.memory.usage" in text
    assert "active_requests" not in text, "known, and feeding no feature"
    settings = YAML(typ="safe").load(text[text.index("conventions:") :])
    assert settings["conventions"]["units"] == {"Mo": "?"}
    settings["conventions"]["units"]["Mo"] = "MBy"
    table = conventions_of(load(settings).conventions)
    for name, unit in (
        ("shop.pool.waiters", "{request}"),
        ("shop_checkout_duration_seconds", ""),
        ("process.memory.usage", "Mo"),
    ):
        assert isinstance(standard().read(name, unit), str)
        assert not isinstance(table.read(name, unit), str)
    (tmp_path / "homeostat.yaml").write_text(json.dumps(settings))
    found = CliRunner().invoke(cli, ["--config", str(tmp_path / "homeostat.yaml"), "telemetry", "unmapped", str(file)])
    assert found.stdout == "every metric is known\n"


def test_as_json(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(recorded() + b"\n")
    found = {row["name"]: row for row in json.loads(told("--json", str(file)))}
    assert found["shop.pool.waiters"]["points"] == 3
    assert found["shop.pool.waiters"]["suggestion"]["row"]["feature"] == "pool_wait"
    assert found["process.memory.usage"]["reason"] == "unmapped_unit"


async def test_of_what_is_in_the_log() -> None:
    broker = EmbeddedBroker(BrokerSettings())
    await broker.start()
    try:
        await broker.ensure_topics(1)
        await broker.send(OTLP_METRICS, recorded())
        await broker.send(OTLP_METRICS, b"nonsense")
        text = await asyncio.to_thread(told, "--broker", f"kafka://{broker.bootstrap}")
    finally:
        await broker.stop()
    assert "shop.pool.waiters" in text


async def test_of_what_is_written_to_a_topic_of_ones_own(tmp_path: Path) -> None:
    settings = {"ingest": {"topics": {"our.metrics": "prometheus_remote_write"}}}
    (tmp_path / "homeostat.yaml").write_text(json.dumps(settings))
    broker = EmbeddedBroker(BrokerSettings())
    await broker.start()
    try:
        await broker.ensure_topics(1, ["our.metrics"])
        await broker.send("our.metrics", first([("shop_pool_waiters", {"job": "cart"}, 3.0)]))
        command = ["--config", str(tmp_path / "homeostat.yaml"), "telemetry", "unmapped"]
        found = await asyncio.to_thread(CliRunner().invoke, cli, [*command, "--broker", f"kafka://{broker.bootstrap}"])
    finally:
        await broker.stop()
    assert "shop_pool_waiters" in found.stdout


@pytest.mark.parametrize(
    ("name", "unit", "kind", "feature", "like"),
    [
        ("shop.db.pool.pending", "", "gauge", "pool_wait", ""),
        ("acme_kafka_consumer_lag", "{message}", "gauge", "queue_lag", ""),
        ("my_process_resident_memory_bytes", "", "gauge", "memory_bytes", "process_resident_memory_bytes"),
        ("app.process.cpu.time", "s", "sum", "cpu_cores", "process.cpu.time"),
        ("acme.container.restarts", "", "sum", "restarts", "container.restarts"),
        ("shop_http_server_latency", "ms", "histogram", "", ""),
        ("http_requests_latency_seconds", "", "summary", "", ""),
    ],
)
def test_the_nearest_known_name_is_the_model(name: str, unit: str, kind: str, feature: str, like: str) -> None:
    found = suggest(UnreadMetric(name, unit, kind, "", UNMAPPED_METRIC), standard())
    assert found.row.get("feature", "") == feature
    assert (found.row.get("kind") == "duration") == (kind in ("histogram", "summary"))
    assert not like or found.like == like


@pytest.mark.parametrize(
    ("name", "unit", "kind"), [("weather.mood", "1", "gauge"), ("x", "", "sum"), ("", "", "histogram")]
)
def test_where_nothing_is_near_the_row_says_that_it_feeds_no_feature(name: str, unit: str, kind: str) -> None:
    assert suggest(UnreadMetric(name, unit, kind, "", UNMAPPED_METRIC), standard()).row == {
        "names": [name],
        "kind": "unused",
    }


def test_a_metric_that_must_name_its_unit() -> None:
    found = suggest(UnreadMetric("http.server.requests", "", "histogram", "", UNMAPPED_UNIT), standard())
    assert found.row == {"names": ["http.server.requests"], "kind": "duration", "unit": "?"}
    assert not found.unit_meant
