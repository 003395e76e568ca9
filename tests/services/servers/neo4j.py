"""Neo4j community edition on loopback, with authentication on, over Bolt in the clear or with TLS."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import neo4j as driver

from tests.services.build import built
from tests.services.servers.authority import certificate
from tests.services.servers.process import QUICK_START, ServerProcess, answers, free_port

_READY: Final = "Started."
_FIRST_PASSWORD: Final = "neo4j"
"""Of a new database; it must be changed before anything else is allowed."""
_OPENED: Final = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")
)


@dataclass
class Neo4jServer:
    """A running server. Its data and its port stay over `kill` and `start`."""

    uri: str
    user: str
    password: str
    process: ServerProcess
    ca_file: Path | None = None

    async def start(self) -> None:
        """Start, and wait until Bolt answers."""
        await self.process.start(self._ready)

    async def kill(self) -> None:
        """SIGKILL."""
        await self.process.kill()

    async def stop(self) -> None:
        """Shut down in order."""
        await self.process.stop()

    async def _ready(self) -> bool:
        return _READY in self.process.text() and await answers(int(self.uri.rpartition(":")[2]))


@asynccontextmanager
async def neo4j(folder: Path, *, tls: bool = False, measured: bool = False) -> AsyncIterator[Neo4jServer]:
    """A server with its data in `folder`. `tls`: Bolt is only spoken over TLS, with a certificate of its own. `measured`: as it
    is in production, slower to start and faster later."""
    jars = await asyncio.to_thread(built, "neo4j")
    port = free_port()
    lines = _settings(port)
    ca_file = None
    if tls:
        ca_file, secrets = _tls(folder)
        lines |= secrets
    (folder / "conf").mkdir(parents=True, exist_ok=True)
    (folder / "conf" / "neo4j.conf").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    command = [
        "java",
        *(() if measured else (QUICK_START,)),
        "-Xmx512m",
        "-Xms256m",
        "-XX:+UseParallelGC",
        *_OPENED,
        "-cp",
        f"{jars / 'lib'}/*",
    ]
    command += ["org.neo4j.server.CommunityEntryPoint", f"--home-dir={folder}", f"--config-dir={folder / 'conf'}"]
    command += ["--console-mode"]  # else it says nothing on its standard output
    password = os.urandom(12).hex()
    uri = f"{'bolt+s' if tls else 'bolt'}://127.0.0.1:{port}"
    server = Neo4jServer(uri, "neo4j", password, ServerProcess("neo4j", command, folder), ca_file)
    try:
        await server.start()
        await asyncio.to_thread(_set_password, server)
        yield server
    finally:
        await server.kill()  # an orderly end takes 10 s, for data that goes with the folder


def _settings(port: int) -> dict[str, str]:
    return {
        "server.bolt.enabled": "true",
        "server.bolt.listen_address": f"127.0.0.1:{port}",
        "server.bolt.advertised_address": f"127.0.0.1:{port}",
        "server.http.enabled": "false",
        "server.https.enabled": "false",
        "dbms.security.auth_enabled": "true",
        # Wrong passwords are part of the tests and must not lock the right one out.
        "dbms.security.auth_max_failed_attempts": "0",
        "dbms.usage_report.enabled": "false",
        "server.memory.pagecache.size": "64m",
        "db.tx_log.rotation.retention_policy": "false",
    }


def _tls(folder: Path) -> tuple[Path, dict[str, str]]:
    """The authority's file, and the settings of Bolt over TLS."""
    files = certificate(folder / "tls", "neo4j")
    base = folder / "certificates" / "bolt"
    base.mkdir(parents=True, exist_ok=True)
    shutil.copy(files.key_file, base / "private.key")
    shutil.copy(files.cert_file, base / "public.crt")
    return files.ca_file, {
        "server.bolt.tls_level": "REQUIRED",
        "dbms.ssl.policy.bolt.enabled": "true",
        "dbms.ssl.policy.bolt.base_directory": "certificates/bolt",
        "dbms.ssl.policy.bolt.private_key": "private.key",
        "dbms.ssl.policy.bolt.public_certificate": "public.crt",
        "dbms.ssl.policy.bolt.client_auth": "NONE",
    }


def _set_password(server: Neo4jServer) -> None:
    """What a person does at the first login."""
    trusted = ssl.create_default_context(cafile=str(server.ca_file)) if server.ca_file else None
    uri = server.uri.replace("bolt+s://", "bolt://")
    with (
        driver.GraphDatabase.driver(uri, auth=(server.user, _FIRST_PASSWORD), ssl_context=trusted) as client,
        client.session(database="system") as session,
    ):
        session.run(
            "ALTER CURRENT USER SET PASSWORD FROM $old TO $new", old=_FIRST_PASSWORD, new=server.password
        ).consume()
