"""The whole shop as one object: its processes, its customers, and the ways to break it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from connectors.actuators.process.manager import ManagedService, ProcessManager
from contracts.supervision import end, once
from homeostat.demo.load import Second
from homeostat.demo.shop.blueprint import GOOD, LOAD, SHOP


class Shop:
    """`async with Shop(otlp_http_address, folder) as shop:` all services serve and customers shop inside the block."""

    def __init__(self, otlp: str, folder: Path, manager_port: int = 0) -> None:
        command = (
            sys.executable,
            "-m",
            "homeostat.demo.shop.service",
            "{name}",
            "--port",
            "{port}",
            "--version",
            "{version}",
        )
        rest = ("--instance", "{instance}", "--manager", "{manager}")
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp, "OTEL_PYTHON_LOG_LEVEL": "error"}
        services = [
            ManagedService(
                name=name,
                command=(*(part.replace("{name}", name) for part in command), *rest),
                replicas=1,
                version=GOOD,
                env=env if blueprint.instrumented else {},
            )
            for name, blueprint in SHOP.items()
        ]
        self.manager = ProcessManager(services, folder / "manager.sqlite", port=manager_port)
        self.seconds: deque[Second] = deque(maxlen=600)
        self._session: aiohttp.ClientSession | None = None
        self._load: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.manager.start()
        self._session = aiohttp.ClientSession()
        self._load = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "homeostat.demo.load", "--manager", self.manager.url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._listening = once("shop-customers", self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._load is not None and self._load.stdin is not None:
            self._load.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._load.wait(), 3)
        if self._listening is not None:
            await end(self._listening)
        if self._session is not None:
            await self._session.close()
        await self.manager.stop()

    async def fault(self, service: str, kind: str) -> None:
        """Break every instance of a service: hang, leak, outage; or `recover`."""
        for address in (await self._get(f"/endpoints/{service}"))["addresses"]:
            await self._post(f"http://{address}/admin/fault", {"kind": kind})

    async def deploy(self, service: str, version: str) -> None:
        """Roll out a version, as a delivery pipeline would."""
        await self._post(
            f"{self.manager.url}/services/{service}/deploy", {"version": version, "key": f"ci-{service}-{version}"}
        )

    async def demand(self, route: str, factor: float) -> None:
        """Let customers ask for a route `factor` times as often as usual."""
        assert self._load is not None
        assert self._load.stdin is not None
        self._load.stdin.write(f"rate {route} {LOAD[route] * factor}\n".encode())
        await self._load.stdin.drain()

    async def services(self) -> Mapping[str, Mapping[str, object]]:
        """State of every service, from the process manager."""
        return {name: await self._get(f"/services/{name}") for name in SHOP}

    async def _listen(self) -> None:
        assert self._load is not None
        assert self._load.stdout is not None
        async for line in self._load.stdout:
            self.seconds.append(msgspec.json.decode(line, type=Second))

    async def _get(self, path: str) -> Mapping[str, list[str]]:
        assert self._session is not None
        async with self._session.get(self.manager.url + path) as reply:
            reply.raise_for_status()
            return dict(await reply.json())

    async def _post(self, url: str, body: Mapping[str, object]) -> None:
        assert self._session is not None
        async with self._session.post(url, json=body) as reply:
            reply.raise_for_status()
