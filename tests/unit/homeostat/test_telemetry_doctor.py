"""`homeostat telemetry doctor`: of recordings, of what was told, of what lies in the topics; what it prints, and its exit status."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from connectors.kafka.embedded import EmbeddedBroker
from contracts.events import EvidenceGap, TelemetryGaps, encode
from contracts.ports import Record
from contracts.settings import BrokerSettings
from contracts.topics import GAPS, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS
from contracts.units import SECOND
from contracts.verdicts import GapKind
from homeostat.cli.app import cli
from homeostat.telemetry_gaps import is_whole, lines, newest
from tests.unit.connectors.otlp.builders import as_json
from tests.unit.streams.gap_worlds import T0, Sender, chain, messages

KINDS: dict[str, Any] = {OTLP_SPANS: TracesData, OTLP_METRICS: MetricsData, OTLP_LOGS: LogsData}


def gap(service: str, kind: GapKind, *, certain: bool = True, text: str = "seen so") -> EvidenceGap:
    return EvidenceGap(service=service, kind=kind, text=text, certain=certain)


def told(service: str, *gaps: EvidenceGap, environment: str = "prod", time_ns: int = T0) -> TelemetryGaps:
    return TelemetryGaps(environment=environment, service=service, time_ns=time_ns, gaps=gaps)


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["telemetry", "doctor", *arguments])


def recording(path: Path, senders: dict[str, Sender], seconds: int) -> Path:
    file = path / "world.jsonl"
    with file.open("wb") as out:
        for _, topic, payload in sorted(messages(senders, seconds, 1, 2), key=lambda m: m[0]):
            out.write(as_json(KINDS[topic].FromString(payload)) + b"\n")
    return file


def test_of_a_recording(tmp_path: Path) -> None:
    world = {**chain(), "orders": Sender("orders", names_peers=False, resource={"service.version": ""})}
    found = doctor(str(recording(tmp_path, world, 60)))
    assert found.exit_code == 1, found.output
    said = found.stdout.splitlines()
    assert said[0] == "shop/orders (default)"
    assert [line.split()[0] for line in said[1:3]] == ["unnamed_peers", "no_version"]
    assert "OTEL_RESOURCE_ATTRIBUTES=service.version=1.4.2" in found.stdout
    assert "peer.service" in found.stdout
    assert "no_logs" not in found.stdout, "too short a recording to tell"


async def test_of_what_was_told_and_of_what_lies_in_the_topics() -> None:
    broker = EmbeddedBroker(BrokerSettings())
    await broker.start()
    try:
        await broker.ensure_topics(1)
        address = ("--broker", f"kafka://{broker.bootstrap}")
        nothing = await asyncio.to_thread(doctor, *address)
        await broker.send(GAPS, encode(told("shop/cart", gap("shop/cart", GapKind.NO_LOGS))), key=b"prod/shop/cart")
        await broker.send(GAPS, b"nonsense", key=b"prod/x")
        await broker.send(GAPS, encode(told("shop/stock")), key=b"prod/shop/stock")
        known = await asyncio.to_thread(doctor, *address, "--json")
        other = await asyncio.to_thread(doctor, *address, "--service", "stock", "--environment", "prod")
        await broker.send(OTLP_SPANS, b"nonsense")
        judged = await asyncio.to_thread(doctor, *address, "--topics", "--last", "10")
    finally:
        await broker.stop()
    assert nothing.exit_code == 1, "not knowing is not well"
    assert "nothing is known" in nothing.stdout
    rows = json.loads(known.stdout)
    assert known.exit_code == 1
    assert [(r["service"], [g["kind"] for g in r["gaps"]]) for r in rows] == [
        ("shop/cart", ["no_logs"]),
        ("shop/stock", []),
    ]
    assert rows[0]["gaps"][0]["mends"][0]["where"] == "SDK"
    assert other.exit_code == 0
    assert other.stdout == "nothing is missing of 1 service: shop/stock\n"
    assert judged.exit_code == 1
    assert "nothing is known" in judged.stdout


def test_what_may_be_so_on_purpose_is_told_and_is_no_failure() -> None:
    found = [told("cart", gap("cart", GapKind.NO_CLIENT_SPANS, certain=False))]
    assert is_whole(found)
    assert "perhaps: seen so" in "\n".join(lines(found))
    assert not is_whole([])
    assert not is_whole([told("cart", gap("cart", GapKind.NO_LOGS))])


def test_the_newest_word_counts_and_what_cannot_be_read_none() -> None:
    old, new = told("cart", gap("cart", GapKind.NO_LOGS)), told("cart", time_ns=T0 + SECOND)
    later = msgspec.structs.replace(old, environment="staging", version=99)
    records = [Record(GAPS, 0, i, None, v) for i, v in enumerate((encode(new), encode(old), encode(later), b"", b"{"))]
    assert newest(records) == [new]


def test_names_from_telemetry_do_not_steer_the_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hostile = "cart\x1b[2J\nshop/all (prod)\n  fine"
    monkeypatch.setattr(
        "homeostat.cli.telemetry_doctor.judged", lambda *_: [told(hostile, gap(hostile, GapKind.NO_LOGS, text="a\rb"))]
    )
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"")
    found = doctor(str(file))
    assert "\x1b" not in found.stdout
    assert "\r" not in found.stdout
    assert "shop/all (prod)" not in found.stdout.splitlines(), "no line can be made up"


@pytest.mark.parametrize("arguments", [("--last", "3"), ("FILE", "--topics"), ("FILE", "--broker", "kafka://x:1")])
def test_options_that_do_not_go_together(arguments: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"")
    found = doctor(*(str(file) if a == "FILE" else a for a in arguments))
    assert found.exit_code == 2
