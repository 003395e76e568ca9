"""Open Policy Agent as a server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.build import built
from tests.services.servers.process import ServerProcess, answers, free_port


@dataclass
class OpaServer:
    """A running server; `url` is its address without a path. The port stays over `kill` and `start`."""

    url: str
    process: ServerProcess

    @property
    def document(self) -> str:
        """For `act.policy`."""
        return f"{self.url}/v1/data/homeostat"

    async def start(self) -> None:
        """Start, and wait until it listens: by then the policy is loaded."""
        port = int(self.url.rpartition(":")[2])
        await self.process.start(lambda: answers(port))

    async def kill(self) -> None:
        """SIGKILL."""
        await self.process.kill()

    async def stop(self) -> None:
        """Shut down in order."""
        await self.process.stop()


@asynccontextmanager
async def opa(folder: Path, policy: Path) -> AsyncIterator[OpaServer]:
    """A server that has loaded the Rego file (or folder) `policy`."""
    program = await asyncio.to_thread(built, "opa") / "bin" / "opa"
    address = f"127.0.0.1:{free_port()}"
    options = ["--addr", address, "--log-level", "error", "--disable-telemetry"]
    server = OpaServer(
        f"http://{address}",
        ServerProcess("opa", [str(program), "run", "--server", *options, str(policy.resolve())], folder),
    )
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
