"""Kafka with SCRAM over TLS and Neo4j over Bolt with TLS: everything works on them, and what is wrong is said in one line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from pydantic import SecretStr

from connectors.kafka.client import KafkaBroker
from connectors.state.kafka import KafkaStateStore
from contracts.checks import broker as broker_checks
from contracts.checks import graph_store as graph_checks
from contracts.checks import state_store as state_checks
from contracts.errors import Forbidden, InvalidSettings
from contracts.settings import BrokerSettings
from contracts.topics import FEATURES, RAW
from graph.stores.neo4j import Neo4jStore
from tests.services.servers.authority import certificate
from tests.services.servers.kafka import MECHANISM, KafkaServer, kafka
from tests.services.servers.neo4j import Neo4jServer, neo4j
from tests.services.servers.process import PATIENCE_S, free_port, page

ROOT: Final = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(600, func_only=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KafkaServer]:
    """Only SASL_SSL, with topics."""
    async with kafka(tmp_path_factory.mktemp("secured-kafka"), secured=True) as server:
        await KafkaBroker(settings_of(server)).ensure_topics(broker_checks.PARTITIONS)
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def secured_neo4j(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Neo4jServer]:
    """Only Bolt over TLS."""
    async with neo4j(tmp_path_factory.mktemp("secured-neo4j"), tls=True) as server:
        yield server


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority that has signed neither server's certificate."""
    return certificate(tmp_path_factory.mktemp("stranger"), "stranger").ca_file


def settings_of(server: KafkaServer, **changes: object) -> BrokerSettings:
    """How a worker is told of the secured Kafka."""
    right = {
        "url": server.url,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": MECHANISM,
        "username": server.user,
        "password": SecretStr(server.password),
        "ca_file": server.ca_file,
    }
    return BrokerSettings.model_validate(right | changes)


# --- the shipped checks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", broker_checks.CHECKS)
async def test_broker(check: broker_checks.Check, secured_kafka: KafkaServer) -> None:
    await check(lambda: KafkaBroker(settings_of(secured_kafka)))


@pytest.mark.parametrize("check", state_checks.CHECKS)
async def test_state_store(check: state_checks.Check, secured_kafka: KafkaServer) -> None:
    options = KafkaBroker(settings_of(secured_kafka)).options
    bootstrap = options.pop("bootstrap_servers")
    await check(lambda: KafkaStateStore(bootstrap, **options))


@pytest.mark.parametrize("check", graph_checks.CHECKS)
def test_graph_store(check: graph_checks.Check, secured_neo4j: Neo4jServer) -> None:
    def opened() -> Neo4jStore:
        server = secured_neo4j
        store = Neo4jStore(server.uri, server.user, server.password, ca_file=server.ca_file)
        store.query("MATCH (n) DETACH DELETE n", read_only=False)
        return store

    check(opened)


# --- what is wrong, by name --------------------------------------------------------------------------------------------

KAFKA_MISTAKES: Final[dict[str, tuple[dict[str, object], type[Exception], str]]] = {
    "password": ({"password": SecretStr("wrong")}, Forbidden, r"refuses the credentials.*broker\.password"),
    "user": ({"username": "nobody"}, Forbidden, r"refuses the credentials.*broker\.username"),
    "mechanism": ({"sasl_mechanism": "PLAIN"}, InvalidSettings, r"another kind of sign-in.*broker\.sasl_mechanism"),
}


@pytest.mark.parametrize("mistake", KAFKA_MISTAKES)
async def test_kafka_refuses(secured_kafka: KafkaServer, mistake: str) -> None:
    changes, error, words = KAFKA_MISTAKES[mistake]
    with pytest.raises(error, match=words):
        await KafkaBroker(settings_of(secured_kafka, **changes)).start()


async def test_kafka_with_an_authority_that_is_not_its_own(
    secured_kafka: KafkaServer, stranger: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSettings, match=r"not trusted.*broker\.ca_file") as caught:
        await KafkaBroker(settings_of(secured_kafka, ca_file=stranger)).start()
    assert caught.value.reason == "untrusted_certificate"
    with pytest.raises(InvalidSettings, match=r"not trusted.*broker\.ca_file"):
        await KafkaBroker(settings_of(secured_kafka, ca_file=None)).start()
    with pytest.raises(InvalidSettings, match=r"missing\.crt: No such file"):
        await KafkaBroker(settings_of(secured_kafka, ca_file=tmp_path / "missing.crt")).start()
    (tmp_path / "empty.crt").write_text("not a certificate")
    with pytest.raises(InvalidSettings, match=r"empty\.crt: no certificate in PEM form"):
        await KafkaBroker(settings_of(secured_kafka, ca_file=tmp_path / "empty.crt")).start()


def test_neo4j_refuses(secured_neo4j: Neo4jServer, stranger: Path, tmp_path: Path) -> None:
    server = secured_neo4j
    with pytest.raises(Forbidden, match=r"graph\.password"):
        Neo4jStore(server.uri, server.user, "wrong", ca_file=server.ca_file)
    for unrelated in (stranger, None):
        with pytest.raises(InvalidSettings, match=r"not trusted.*graph\.ca_file") as caught:
            Neo4jStore(server.uri, server.user, server.password, ca_file=unrelated)
        assert caught.value.reason == "untrusted_certificate"
    with pytest.raises(InvalidSettings, match=r"missing\.crt: No such file"):
        Neo4jStore(server.uri, server.user, server.password, ca_file=tmp_path / "missing.crt")
    clear = server.uri.replace("bolt+s", "bolt")
    with pytest.raises(InvalidSettings, match=r"not used with graph\.url.*bolt\+s://"):
        Neo4jStore(clear, server.user, server.password, ca_file=server.ca_file)


# --- the command line --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Installation:
    """What an operator has written into the environment of `homeostat`."""

    folder: Path
    kafka: KafkaServer
    neo4j: Neo4jServer

    def environment(self, **changes: str) -> dict[str, str]:
        told = {
            "BROKER__URL": self.kafka.url,
            "BROKER__SECURITY_PROTOCOL": "SASL_SSL",
            "BROKER__SASL_MECHANISM": MECHANISM,
            "BROKER__USERNAME": self.kafka.user,
            "BROKER__PASSWORD": self.kafka.password,
            "BROKER__CA_FILE": str(self.kafka.ca_file),
            "GRAPH__STORE": "neo4j",
            "GRAPH__URL": self.neo4j.uri,
            "GRAPH__USER": self.neo4j.user,
            "GRAPH__PASSWORD": self.neo4j.password,
            "GRAPH__CA_FILE": str(self.neo4j.ca_file),
            "GRAPH__TOPOLOGY": str(ROOT / "docs" / "examples" / "topology.yaml"),
            "DATA_DIR": str(self.folder / "data"),
        }
        return os.environ | {f"HOMEOSTAT_{name}": value for name, value in (told | changes).items()}

    def run(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        command = [sys.executable, "-m", "homeostat", *arguments]
        done = subprocess.run(
            command, env=self.environment(**changes), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KafkaServer]:
    """Secured, and without what the checks write on the topics."""
    async with kafka(tmp_path_factory.mktemp("own-kafka"), secured=True) as server:
        yield server


@pytest.fixture
def installation(own_kafka: KafkaServer, secured_neo4j: Neo4jServer, tmp_path: Path) -> Installation:
    return Installation(tmp_path, own_kafka, secured_neo4j)


MISTAKES = {
    "Kafka's password": ("BROKER__PASSWORD", "wrong", ("Kafka at 127.0.0.1:", "refuses", "broker.password")),
    "Kafka's authority": ("BROKER__CA_FILE", "", ("Kafka at 127.0.0.1:", "not trusted", "broker.ca_file")),
    "Neo4j's password": ("GRAPH__PASSWORD", "wrong", ("Neo4j at bolt+s://127.0.0.1:", "refused", "graph.password")),
    "Neo4j's authority": ("GRAPH__CA_FILE", "", ("Neo4j at bolt+s://127.0.0.1:", "not trusted", "graph.ca_file")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_worker_that_cannot_start_says_why_in_one_line(
    installation: Installation, stranger: Path, mistake: str
) -> None:
    name, value, words = MISTAKES[mistake]
    done = installation.run("worker", "--api-port", "0", **{name: value or str(stranger)})
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    assert lines[0].startswith("homeostat: ")
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_doctor_names_it_and_what_to_do(installation: Installation, stranger: Path, mistake: str) -> None:
    name, value, words = MISTAKES[mistake]
    done = installation.run("doctor", **{name: value or str(stranger)})
    assert (done.returncode, done.stderr) == (1, "")
    findings = done.stdout.replace("\n" + " " * 15 + "->", " ->").splitlines()
    (wrong,) = (line for line in findings if line.startswith("FIX"))
    assert all(word in wrong for word in (*words, " -> ")), wrong


def test_the_doctor_finds_nothing_where_nothing_is_wrong(installation: Installation) -> None:
    assert installation.run("topics", "create").returncode == 0
    done = installation.run("doctor")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "FIX" not in done.stdout


# --- a worker on them --------------------------------------------------------------------------------------------------


@contextmanager
def working(installation: Installation) -> Iterator[str]:
    """A worker's status address, once it is ready; it is stopped in order afterwards."""
    port, log = free_port(), installation.folder / "worker.log"
    command = [sys.executable, "-m", "homeostat", "worker", "--api-port", str(port)]
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=installation.environment(), stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            deadline = time.monotonic() + PATIENCE_S
            while "homeostat is ready" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    assert process.returncode == 0
    assert "Traceback" not in log.read_text(), log.read_text()


async def test_a_worker_turns_what_it_is_sent_into_features(installation: Installation) -> None:
    broker = KafkaBroker(settings_of(installation.kafka))
    await broker.start()
    try:
        with working(installation) as address:
            async with asyncio.timeout(PATIENCE_S):
                while not [r async for r in broker.read([FEATURES])]:
                    await broker.send(RAW, _measured(), key=b"cart")
                    await asyncio.sleep(0.2)
            status = json.loads(await page(f"{address}/status"))
    finally:
        await broker.stop()
    assert status["ready"] is True
    assert status["graph"]["failed"] == 0
    store = Neo4jStore(
        installation.neo4j.uri, installation.neo4j.user, installation.neo4j.password, ca_file=installation.neo4j.ca_file
    )
    declared = store.query("MATCH (:Service)-[:CALLS]->(s:Service) RETURN s.service AS name ORDER BY name")
    store.close()
    assert [row["name"] for row in declared] == ["db:postgresql/orders", "shop/cart"]


def _measured() -> bytes:
    responses = [{"status": 200}] * 3
    body = {"service": "cart", "timestamp": time.time(), "latencies_ms": [5.0, 6.0, 7.0], "responses": responses}
    return json.dumps(body | {"cpu_percent": 10.0, "memory_mb": 100.0}).encode()
