"""The OpenTelemetry Collector with the components that Homeostat's examples use."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.services.build import built
from tests.services.servers.process import ServerProcess

_READY: Final = "Everything is ready. Begin running and processing data."


@dataclass
class CollectorServer:
    """A running Collector; its ports are those its configuration names."""

    process: ServerProcess

    async def start(self) -> None:
        """Start, and wait until all its components have started."""
        await self.process.start(self._ready)

    async def kill(self) -> None:
        """SIGKILL."""
        await self.process.kill()

    async def stop(self) -> None:
        """Shut down in order: what is queued is sent."""
        await self.process.stop()

    async def _ready(self) -> bool:
        return _READY in self.process.text()


@asynccontextmanager
async def collector(folder: Path, config: str, *arguments: str) -> AsyncIterator[CollectorServer]:
    """A Collector with this configuration (YAML text); the caller chose its ports with `free_port()`. `arguments`: more of the
    command line."""
    program = await asyncio.to_thread(_program)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(config)
    server = CollectorServer(ServerProcess("collector", [str(program), "--config", str(path), *arguments], folder))
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


def validate(config: str) -> str:
    """What the Collector says is wrong with a configuration (YAML text); empty when it is valid."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(config)
        command = [str(_program()), "validate", "--config", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        return ""
    return (done.stderr + done.stdout).strip() or f"status {done.returncode}"


def _program() -> Path:
    return built("collector") / "bin" / "otelcol"
