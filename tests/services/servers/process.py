"""One server process: started, watched until it is ready, killed, started again, stopped; and its words when it fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

PATIENCE_S: Final = 240.0
"""How long a server may take to be ready on a machine that does other things too."""
QUICK_START: Final = "-XX:TieredStopAtLevel=1"
"""For Java: no second compiler. A server that lives for a minute would spend more on it than on its work."""
STOP_S: Final = 20.0
LAST_LINES: Final = 30
WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
"""A killed test run leaves no server behind (Linux; util-linux has the command)."""


class ServerFailed(Exception):
    """A server that did not start: why, and the last lines it wrote."""


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """A command and its log. `subprocess`, not asyncio's: fixtures and tests may live in different event loops."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> None:
        """`folder` is the working directory and takes the log; `env` is added to this process's."""
        self._name, self._command, self._folder, self._env = name, list(command), folder, dict(env or {})
        self._popen: subprocess.Popen[bytes] | None = None
        self._logged_before = 0

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._popen is not None, f"{self._name} was not started"
        return self._popen.pid

    @property
    def log(self) -> Path:
        """What it wrote, over all its starts."""
        return self._folder / f"{self._name}.log"

    def text(self) -> str:
        """What it wrote since its latest start."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._logged_before)
            return log.read().decode(errors="replace")

    def running(self) -> bool:
        """Whether the process lives."""
        return self._popen is not None and self._popen.poll() is None

    async def start(self, ready: Callable[[], Awaitable[bool]], within_s: float = PATIENCE_S) -> None:
        """Start, and wait until `ready`; ServerFailed with the reason and the last lines."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._logged_before = log.tell()
            self._popen = subprocess.Popen(
                [*WITH_PARENT, *self._command],
                cwd=self._folder,
                env={**os.environ, **self._env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + within_s
        while not await ready():
            if self._popen.poll() is not None:
                raise self._failed(f"ended with status {self._popen.returncode}")
            if time.monotonic() > deadline:
                await self.kill()
                raise self._failed(f"was not ready after {within_s:g} s")
            await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM; SIGKILL for one that does not go."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        if self._popen is None or self._popen.poll() is not None:
            return
        self._popen.send_signal(signal.SIGCONT)  # one that a test has frozen would not hear
        self._popen.send_signal(how)
        deadline = time.monotonic() + STOP_S
        while self._popen.poll() is None:
            if time.monotonic() > deadline:
                self._popen.kill()
            await asyncio.sleep(0.02)

    def _failed(self, why: str) -> ServerFailed:
        lines = self.text().splitlines()[-LAST_LINES:]
        return ServerFailed(
            f"{self._name} {why}; its last lines ({self.log}):\n" + "\n".join(f"    {x}" for x in lines)
        )


async def answers(port: int) -> bool:
    """Whether somebody listens on a loopback port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def page(url: str) -> bytes:
    """What is served at an address."""

    def get() -> bytes:
        with urllib.request.urlopen(url, timeout=30) as reply:
            body: bytes = reply.read()
            return body

    return await asyncio.to_thread(get)


def run(name: str, command: Sequence[str], folder: Path) -> str:
    """Run a set-up command to its end; its output, or ServerFailed with its last lines."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    output = done.stdout + done.stderr
    if done.returncode:
        last = "\n".join(f"    {line}" for line in output.splitlines()[-LAST_LINES:])
        raise ServerFailed(f"{name}: `{' '.join(command[:4])} …` ended with status {done.returncode}:\n{last}")
    return output
