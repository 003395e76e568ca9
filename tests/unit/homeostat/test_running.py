"""The commands that talk to a running process, and what it serves over HTTP: one embedded runtime for all of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from connectors.kafka.client import KafkaBroker
from connectors.kafka.embedded import PARTITIONS
from contracts.errors import InvalidSettings
from contracts.events import (
    Anomaly,
    Contribution,
    Control,
    DeadLetter,
    Incident,
    NodeStatus,
    RawMeasurement,
    decode,
    encode,
)
from contracts.frames import pack
from contracts.settings import ApiSettings, BrokerSettings
from contracts.topics import (
    ANOMALIES,
    APPROVALS,
    CONTROL,
    DEADLETTER,
    DECISIONS,
    EVIDENCE,
    INCIDENTS,
    NODES,
    RAW,
    partition_of,
)
from contracts.verdicts import AnomalyKind, AnomalyPhase, Autonomy, ServiceState
from homeostat.cli.app import cli
from homeostat.endpoints import Endpoints, running
from homeostat.health import Vitals
from homeostat.metrics import METRICS, registry
from homeostat.web.server import WebServer
from tests.patience import LONG_S, PATIENCE_S
from tests.unit.contracts.samples import EVENTS
from tests.unit.homeostat.test_service_states import frame
from tests.unit.playbooks.runs.support import approval, decision

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_S)]
PORTS = ("--grpc-port", "0", "--http-port", "0", "--api-port", "0")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running `homeostat up`."""
    folder = tmp_path_factory.mktemp("running")
    command = [sys.executable, "-m", "homeostat", "--data-dir", str(folder), "up", *PORTS]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + PATIENCE_S
            while running(folder) is None:
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < until
                time.sleep(0.1)
            yield folder
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, "Traceback" in errors) == (0, False), errors
    assert running(folder) is None


@pytest.fixture
def endpoints(data: Path) -> Endpoints:
    found = running(data)
    assert found is not None
    return found


def said(data: Path, *arguments: str, typed: str | None = None) -> str:
    found = CliRunner().invoke(cli, ["--data-dir", str(data), *arguments], input=typed)
    assert found.exit_code == 0, f"{found.output}{found.exception!r}"
    return found.stdout


def get(endpoints: Endpoints, path: str, body: Any = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(
            endpoints.api + path, data, {"Content-Type": "application/json"} if data else {}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.read()


def messages(endpoints: Endpoints, topic: str) -> list[bytes]:
    async def read() -> list[bytes]:
        broker = KafkaBroker(BrokerSettings(url=f"kafka://{endpoints.broker}"))
        return [r.value async for r in broker.read([topic])]

    return asyncio.run(read())


def recovered(data: Path) -> str:
    """What `doctor` says once the states of all stages are read: however long that takes, it says "recovering" until then."""
    until = time.monotonic() + PATIENCE_S
    while True:
        found = CliRunner().invoke(cli, ["--data-dir", str(data), "doctor"])
        if "recovering" not in found.stdout or time.monotonic() > until:
            assert found.exit_code == 0, f"{found.output}{found.exception!r}"
            return found.stdout
        time.sleep(0.2)


def test_doctor(data: Path) -> None:
    lines = recovered(data).splitlines()
    assert [line.split()[:2] for line in lines if not line.startswith(" ")] == [
        ["ok", check]
        for check in (
            "data",
            "process",
            "broker",
            "topics",
            "clock",
            "pace",
            "letters",
            "graph",
            "policy",
            "playbooks",
            "plugins",
        )
    ]


def test_status_without_telemetry(data: Path) -> None:
    text = said(data, "status")
    assert re.search(r": working, well, up \d+ s; \d+\.\d s behind, \d+ messages? waits?\n", text)
    assert "no services yet" in text
    found = json.loads(said(data, "status", "--json"))
    assert (found["healthy"], found["services"], found["processes"][0]["lacks"]) == (True, [], [])


def test_an_anomaly_is_explained_by_the_process_and_from_the_log(
    data: Path, endpoints: Endpoints, tmp_path: Path
) -> None:
    part = Contribution(signal="spans", feature="error_rate", value=0.4, low=0.0, high=0.1, decades=6.7, share=1.0)
    event = Anomaly(
        id="an-explained",
        environment="default",
        service="cart",
        phase=AnomalyPhase.OPENED,
        state=ServiceState.ANOMALOUS,
        onset_ns=time.time_ns(),
        time_ns=time.time_ns(),
        p_value=1e-6,
        decades=6.0,
        contributions=(part,),
        detector="bank",
        model_version="1",
        text="error rate 40 %",
        kind=AnomalyKind.SERIES,  # nothing follows from it
    )

    async def send() -> None:
        broker = KafkaBroker(BrokerSettings(url=f"kafka://{endpoints.broker}"))
        await broker.start()
        try:
            await broker.send(ANOMALIES, encode(event))
        finally:
            await broker.stop()

    asyncio.run(send())
    assert get(endpoints, "/anomalies/an-expl")[0] == 200
    for where in ((), ("--broker", f"kafka://{endpoints.broker}")):
        assert "+6.00  error_rate (spans)" in said(data, "explain", "an-explained", *where)
        assert json.loads(said(data, "explain", "an-expl", "--json", *where))["parts"][0]["part"] == 6.0
        refused = CliRunner().invoke(cli, ["--data-dir", str(data), "explain", "an-other", *where])
        assert refused.exception is not None
        assert "unknown anomaly 'an-other'" in str(refused.exception)
        assert "valid: an-explained" in str(refused.exception)
    said(data, "explain", "an-expl", "--png", str(tmp_path / "a.png"))
    assert (tmp_path / "a.png").stat().st_size > 0


def test_status_of_all_that_share_the_log(data: Path, endpoints: Endpoints) -> None:
    """What is on the log is as old as its last heartbeat: until the first one after the start it says "recovering",
    and the command ends with 1."""
    broker = f"kafka://{endpoints.broker}"
    until = time.monotonic() + PATIENCE_S
    while True:
        ended = CliRunner().invoke(cli, ["--data-dir", str(data), "status", "--json", "--broker", broker])
        found = json.loads(ended.stdout)
        conditions = [p["condition"] for p in found["processes"]]
        assert ended.exit_code == (0 if found["healthy"] else 1), ended.output
        if conditions != ["recovering"] or time.monotonic() > until:
            break
    assert (conditions, found["healthy"]) == (["working"], True)


def watching(data: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "homeostat", "--data-dir", str(data), "watch", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})


def test_watch_says_what_it_watches_and_that_nothing_happens(data: Path, endpoints: Endpoints) -> None:
    with watching(data, "--heartbeat", "0.3") as process:
        assert process.stdout is not None
        first, second, third = (process.stdout.readline() for _ in range(3))
        process.send_signal(signal.SIGINT)
    assert re.match(rf"[\d-]+ [\d:.]+Z watching +{endpoints.broker}, times are UTC; no services yet", first), first
    for line in (second, third):
        assert re.match(r"[\d-]+ [\d:.]+Z nothing happened .* \d+\.\d s behind; nothing lacking\n", line), line


def test_why_with_nothing_wrong_says_so_and_how_it_is(data: Path) -> None:
    text = said(data, "why")
    assert "no incident is open: there was none so far" in text, "no services were seen: it can't be known"
    assert "nothing lacking" in text


def test_the_process_says_when_it_began(endpoints: Endpoints) -> None:
    """Its age is that of the process, not of what it took until its modules were there."""
    born = psutil.Process(endpoints.pid).create_time()  # by the boot time, which has whole seconds
    asked_s = time.time() - born
    status = json.loads(get(endpoints, "/status")[1])
    assert asked_s - 1.5 < status["uptime_s"] < time.time() - born + 1.5


def test_measurements_by_hand(data: Path, endpoints: Endpoints) -> None:
    assert said(data, "send-raw", "till", "--latency-ms", "12", "--status", "200") == "1 measurement sent\n"
    lines = '{"service": "a", "timestamp": 1}\n\n{"service": "b", "timestamp": 2}\n'
    assert said(data, "send-raw", "--stdin", typed=lines) == "2 measurements sent\n"
    sent = [json.loads(m) for m in messages(endpoints, RAW)]
    assert sorted(m["service"] for m in sent) == ["a", "b", "till"]
    assert set(sent[0]) <= set(RawMeasurement.__struct_fields__)


def test_the_switch(data: Path, endpoints: Endpoints) -> None:
    node = json.loads(get(endpoints, "/status")[1])["node"]
    assert said(data, "stop-acting", "--reason", "drill") == (
        f"acting stopped in all environments: confirmed by {node}\n"
    )
    assert "drill" in json.loads(get(endpoints, "/status")[1])["acting"]["stopped"]["*"]
    assert said(data, "resume", "--environment", "prod", "--autonomy", "suggest").startswith("acting resumed in prod")
    begun, off, *on = sorted((decode(Control, m) for m in messages(endpoints, CONTROL)), key=lambda c: c.time_ns)
    assert (begun.scope, begun.acting, begun.initial) == ("*", True, True)
    assert (off.scope, off.acting, off.reason) == ("*", False, "drill")
    assert {(c.scope, c.acting, c.autonomy) for c in on} == {("prod", True, Autonomy.SUGGEST)}
    assert len(on) == 4, "in every partition"
    assert said(data, "resume").startswith("acting resumed in all environments, autonomy: act: confirmed by ")
    assert json.loads(get(endpoints, "/status")[1])["acting"]["stopped"] == {}


def test_decisions_and_answers_of_strangers_are_dead_letters(endpoints: Endpoints) -> None:
    """Written to the topics by somebody who may: nothing comes of them, and they are kept with the reason."""
    forged, answer = decision("restart-failing-service", name="forged"), approval(decision="forged")

    async def told() -> list[DeadLetter]:
        broker = KafkaBroker(BrokerSettings(url=f"kafka://{endpoints.broker}"))
        await broker.start()
        try:
            at = partition_of(forged.environment, PARTITIONS)
            await broker.send(APPROVALS, encode(answer), partition=at)
            await broker.send(DECISIONS, encode(forged), partition=at)
            found: list[DeadLetter] = []
            async with asyncio.timeout(PATIENCE_S):
                async for record in broker.read([DEADLETTER], follow=True):
                    found.append(decode(DeadLetter, record.value))
                    if {letter.source_topic for letter in found} >= {APPROVALS, DECISIONS}:
                        return found
        finally:
            await broker.stop()
        raise AssertionError("unreachable")

    letters = {letter.source_topic: letter for letter in asyncio.run(told())}
    assert {letters[t].reason for t in (APPROVALS, DECISIONS)} == {"unproven"}
    assert letters[DECISIONS].payload == encode(forged)
    assert json.loads(get(endpoints, "/status")[1])["acting"]["open_runs"] == {}


def test_a_decision_nobody_took_cannot_be_approved(data: Path) -> None:
    found = CliRunner().invoke(cli, ["--data-dir", str(data), "approve", "d-1"])
    assert (found.exit_code, "no decision 'd-1'" in found.output) == (1, True)


def test_topics_and_audit(data: Path) -> None:
    assert "telemetry.raw: 4 partitions" in said(data, "topics", "create")
    assert said(data, "audit") == ""


def test_the_graph_is_asked_through_the_process_that_holds_it(data: Path) -> None:
    assert said(data, "graph", "query", "MATCH (s:Service) RETURN count(s) AS n", "--json").startswith('{"n":')


def test_health_and_status(endpoints: Endpoints) -> None:
    for path, said_so in (("/healthz", "live"), ("/readyz", "ready")):
        code, body = get(endpoints, path)
        assert (code, json.loads(body)[said_so], json.loads(body)["condition"]) == (200, True, "working")
    status = json.loads(get(endpoints, "/status")[1])
    assert status["broker"] == endpoints.broker
    assert "telemetry.raw/3" in status["partitions"]
    assert get(endpoints, "/nothing")[0] == 404


def test_metrics_are_prometheus_text_and_all_of_the_list(endpoints: Endpoints) -> None:
    status, body = get(endpoints, "/metrics")
    families = {f.name: f for f in text_string_to_metric_families(body.decode())}
    assert status == 200
    assert {f"homeostat_{name}" for name in METRICS} <= set(families)
    for spec in METRICS.values():
        family = families[f"homeostat_{spec.name}"]
        assert family.type == spec.type
        assert family.documentation == spec.text
        assert all(tuple(s.labels) == spec.labels and s.value >= 0 for s in family.samples)
    assert families["homeostat_ready"].samples[0].value == 1
    assert families["homeostat_live"].samples[0].value == 1
    assert families["homeostat_data_free_bytes"].samples[0].value > 0
    assert families["homeostat_loop_age_seconds"].samples[0].value < PATIENCE_S
    assert families["homeostat_assigned_partitions"].samples[0].value >= 16
    assert "process_resident_memory_bytes" in families


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"cypher": "MATCH (s:Service) DELETE s"}, 400, "not_read_only"),
        ({"cypher": "MATCH"}, 400, "invalid_query"),
        ({"question": "?"}, 400, "bad_request"),
        ("?", 400, "bad_request"),
    ],
)
def test_questions_that_cannot_be_answered(endpoints: Endpoints, body: Any, status: int, error: str) -> None:
    found, answer = get(endpoints, "/graph/query", body)
    assert (found, json.loads(answer)["error"]) == (status, error)


async def test_a_port_that_is_taken_is_named(endpoints: Endpoints) -> None:
    port = int(endpoints.api.rsplit(":", 1)[1])
    server = WebServer(ApiSettings(port=port), registry(list), dict, Vitals, lambda: None)
    with pytest.raises(InvalidSettings, match=rf"cannot listen on 127\.0\.0\.1:{port}.*set api\.port"):
        await server.start()
    await server.stop()


def test_it_is_in_the_registry_of_nodes(endpoints: Endpoints) -> None:
    status = decode(NodeStatus, messages(endpoints, NODES)[-1])
    assert (status.lifecycle, status.healthy, status.partitions) == ("running", True, (0, 1, 2, 3))
    assert status.node.startswith(os.uname().nodename)
    assert {"ingest", "features", "detect", "diagnose", "decide"} <= set(status.stage.split(","))


def test_a_second_one_on_the_same_folder_says_so_at_once(data: Path, endpoints: Endpoints) -> None:
    """It does not wait, though it may, for what never comes."""
    patient = ("--set", f"broker.retry_s={2 * PATIENCE_S}", "--set", f"graph.retry_s={2 * PATIENCE_S}")
    command = [sys.executable, "-m", "homeostat", "--data-dir", str(data), *patient, "up", *PORTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert f"in use by another `homeostat up` (process {endpoints.pid})" in done.stderr
    assert "--data-dir" in done.stderr
    assert "Traceback" not in done.stderr
    assert running(data) == endpoints


def test_nobody_else_may_read_the_data_folder(data: Path) -> None:
    assert data.stat().st_mode & 0o777 == 0o700
    files = {f.name: f.stat().st_mode & 0o777 for f in data.iterdir() if f.is_file()}
    assert {"journal.sqlite", "state.sqlite", "graph.lbug", "endpoints.json"} <= files.keys()
    assert not {name: oct(mode) for name, mode in files.items() if mode & 0o077 and not name.startswith("graph.lbug.")}


def test_a_verdict_moves_how_sure_detection_must_be_and_is_taken_back(data: Path, endpoints: Endpoints) -> None:
    incident = EVENTS["Incident"]
    assert isinstance(incident, Incident)

    async def tell() -> None:
        broker = KafkaBroker(BrokerSettings(url=f"kafka://{endpoints.broker}"))
        await broker.start()
        try:
            at = partition_of(incident.environment, PARTITIONS)
            await broker.send(
                EVIDENCE, pack(frame({"cart": "healthy"}, 0, environment=incident.environment)), partition=at
            )
            await broker.send(INCIDENTS, encode(incident), partition=at)
        finally:
            await broker.stop()

    def told(false_alarms: int) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE_S
        while True:
            words = json.loads(get(endpoints, "/status")[1])["strictness"]
            (word,) = [w for w in words if w["environment"] == incident.environment] or [{"false_alarms": -1}]
            if word["false_alarms"] == false_alarms:
                return dict(word)
            assert time.monotonic() < until, word
            time.sleep(0.1)

    asyncio.run(tell())
    assert told(0)["strictness"] == 0.0
    assert "was a false alarm" in said(data, "verdict", "false-alarm", incident.id)
    word = told(1)
    assert word["strictness"] == pytest.approx(0.477, abs=0.001)
    again = CliRunner().invoke(cli, ["--data-dir", str(data), "verdict", "false-alarm", incident.id])
    assert (again.exit_code, "nothing was changed" in again.output) == (1, True)
    assert (
        f'strictness_decades{{environment="{incident.environment}"}} {word["strictness"]}'
        in get(endpoints, "/metrics")[1].decode()
    )
    assert "taken back" in said(data, "verdict", "false-alarm", incident.id, "--withdraw")
    assert told(0)["strictness"] == 0.0
