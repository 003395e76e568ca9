"""One instance of a service: a process with a port of its own, from its start until nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from connectors.actuators.process.messages import ManagedService
from contracts.errors import ActionFailed

GRACE_S: Final = 0.3
"""From SIGTERM to SIGKILL."""
_POLL_S: Final = 0.05
_ANSWER_S: Final = 1.0
_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_TAIL_BYTES: Final = 600
_GIVEN: Final[deque[int]] = deque(maxlen=200)


@dataclass(slots=True, eq=False)
class ProcessInstance:
    """A started process. `listed`: callers are sent to it."""

    id: str
    host: str
    port: int
    version: str
    log: Path
    process: asyncio.subprocess.Process
    started: float  # epoch seconds
    listed: bool = False

    @property
    def alive(self) -> bool:
        """Whether the process runs; a stopped or hanging one does."""
        return self.process.returncode is None

    @property
    def serving(self) -> bool:
        """Whether callers are sent to it."""
        return self.listed and self.alive

    @property
    def address(self) -> str:
        """host:port."""
        return f"{self.host}:{self.port}"

    def document(self) -> dict[str, Any]:
        """What the API says of it."""
        return {
            "id": self.id,
            "pid": self.process.pid,
            "port": self.port,
            "version": self.version,
            "ready": self.serving,
            "alive": self.alive,
            "started": round(self.started, 3),
        }

    async def wait_ready(self, session: aiohttp.ClientSession, path: str, timeout_s: float) -> None:
        """Return once it answers.

        Raises:
            ActionFailed: it ended, or did not answer within `timeout_s`; with the last lines it wrote.
        """
        url, deadline = f"http://{self.address}{path}", time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self.alive:
                raise ActionFailed(f"{self.id} ended with status {self.process.returncode}{self._last_words()}")
            if await _answers(session, url):
                return
            await asyncio.sleep(_POLL_S)
        raise ActionFailed(f"{self.id} did not answer {path} within {timeout_s:g} s{self._last_words()}")

    async def stop(self) -> None:
        """End it and all it started: asked first, then killed, which also ends a frozen one."""
        self.listed = False
        if self.alive:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), GRACE_S)
            self._signal(signal.SIGKILL)
            await self.process.wait()

    def _signal(self, number: int) -> None:
        # It leads its own process group, so its children get the signal too.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            text = self.log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
            if text:
                return f"; its last words ({self.log}): {text}"
        return f"; it wrote nothing to {self.log}"


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=_ANSWER_S)) as reply:
            return 200 <= reply.status < 300
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


@dataclass(frozen=True, slots=True)
class ProcessHost:
    """Where instances run: the address they bind, where their output goes, and the manager's own URL."""

    host: str
    logs: Path
    manager: str


async def launch(service: ManagedService, identity: str, version: str, place: ProcessHost) -> ProcessInstance:
    """Start a process; it is neither ready nor listed yet.

    Raises:
        ActionFailed: the machine can't start a process, or its output has nowhere to go.
    """
    port = free_port(place.host)
    values = {"port": str(port), "version": version, "instance": identity, "manager": place.manager}
    command = [_filled(part, values) for part in service.command]
    log = place.logs / (re.sub(r"[^A-Za-z0-9._-]+", "_", identity) + ".log")
    try:
        process = await _spawn(command, {k: _filled(v, values) for k, v in service.env.items()}, log)
    except OSError as e:
        raise ActionFailed(f"{identity} can't be started: {e}") from e
    return ProcessInstance(identity, place.host, port, version, log, process, time.time())


async def _spawn(command: list[str], env: Mapping[str, str], log: Path) -> asyncio.subprocess.Process:
    log.parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **env},
            start_new_session=True,  # an interrupt at the terminal is the manager's to handle
        )
    finally:
        os.close(output)


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The placeholders filled in; other braces (JSON, say) stay as they are."""
    return re.sub(r"\{(port|version|instance|manager)\}", lambda m: values[m[1]], template)


def free_port(host: str) -> int:
    """A TCP port that nobody listens on, nor is about to: one given lately may belong to a process that is still starting."""
    while True:
        with socket.socket() as s:
            s.bind((host, 0))
            port = int(s.getsockname()[1])
        if port not in _GIVEN:
            _GIVEN.append(port)
            return port
