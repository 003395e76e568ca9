"""Apache Kafka on loopback: one KRaft node that is broker and controller, in the clear or with SCRAM over TLS."""

from __future__ import annotations

import asyncio
import base64
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.services.build import built
from tests.services.servers.authority import certificate
from tests.services.servers.process import QUICK_START, ServerProcess, answers, free_port, run

MECHANISM: Final = "SCRAM-SHA-512"
_READY: Final = "Kafka Server started"
_HEAP: Final = "512m"


@dataclass
class KafkaServer:
    """A running broker. Its data and its port stay over `kill` and `start`."""

    bootstrap: str
    process: ServerProcess
    ca_file: Path | None = None
    user: str = ""
    password: str = ""

    @property
    def url(self) -> str:
        """For `broker.url`."""
        return f"kafka://{self.bootstrap}"

    async def start(self) -> None:
        """Start, and wait until clients are served."""
        await self.process.start(self._ready)

    async def kill(self) -> None:
        """SIGKILL."""
        await self.process.kill()

    async def stop(self) -> None:
        """Shut down in order."""
        await self.process.stop()

    async def _ready(self) -> bool:
        return _READY in self.process.text() and await answers(int(self.bootstrap.rpartition(":")[2]))


@asynccontextmanager
async def kafka(folder: Path, *, secured: bool = False) -> AsyncIterator[KafkaServer]:
    """A broker with its data in `folder`. `secured`: only SASL_SSL with SCRAM-SHA-512 and a certificate of its own."""
    jars = await asyncio.to_thread(built, "kafka")
    folder.mkdir(parents=True, exist_ok=True)
    port, controller = free_port(), free_port()
    lines = _properties(folder, port, controller)
    java = ["java", QUICK_START, f"-Xmx{_HEAP}", f"-Xms{_HEAP}", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
    java += ["-cp", f"{jars / 'lib'}/*"]
    process = ServerProcess("kafka", [*java, "kafka.Kafka", str(folder / "server.properties")], folder)
    server = KafkaServer(f"127.0.0.1:{port}", process)
    scram: list[str] = []
    if secured:
        server.user, server.password = "homeostat", os.urandom(12).hex()
        scram = ["--add-scram", f"{MECHANISM}=[name={server.user},password={server.password}]"]
        server.ca_file, secrets = _tls(folder)
        lines |= secrets
    _write(folder / "server.properties", lines)
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    named = [f"--cluster-id={cluster_id}", f"--config={folder / 'server.properties'}"]  # an id may begin with a dash
    await asyncio.to_thread(run, "kafka-storage", [*java, "kafka.tools.StorageTool", "format", *named, *scram], folder)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


def _properties(folder: Path, port: int, controller: int) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"CLIENTS://127.0.0.1:{port}",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENTS",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(folder / "data"),
        "num.partitions": "4",
        # As production should have it: a topic nobody made is a mistake, not a new topic.
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # A group in a test consists of members that may be killed, and wants to be rebalanced soon after.
        "group.min.session.timeout.ms": "1000",
        # A broker that was killed is let in again when its last session has run out; 9 s unless told.
        "broker.session.timeout.ms": "6000",
        "broker.heartbeat.interval.ms": "1000",
        "log.cleaner.dedupe.buffer.size": "16777216",
    }


def _tls(folder: Path) -> tuple[Path, dict[str, str]]:
    """The authority's file, and the settings of a listener that wants TLS and SCRAM."""
    files = certificate(folder / "tls", "kafka")
    store = folder / "tls" / "kafka.pem"
    store.write_text(files.key_file.read_text() + files.cert_file.read_text())
    jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    return files.ca_file, {
        "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": MECHANISM,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(files.ca_file),
        f"listener.name.clients.{MECHANISM.lower()}.sasl.jaas.config": f"{jaas};",
        # The broker is a client of itself, for which it needs credentials too.
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
    }


def _write(path: Path, lines: dict[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
