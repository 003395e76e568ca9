"""A container as a process: its command and environment from the spec, its life, its readiness."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.services.servers.process import LAST_LINES, free_port

Json = dict[str, Any]
_REFERENCE: Final = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()


class Container:
    """The first container of a pod. `port`: where it is to listen, told as PORT; it keeps it through restarts."""

    def __init__(self, pod: Json, folder: Path) -> None:
        self.spec: Json = pod["spec"]["containers"][0]
        self.port = free_port()
        self.restarts = 0
        self.started_at = 0.0
        self.ready = False
        self._pod, self._log = pod, folder / f"{pod['metadata']['name']}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._good = self._bad = 0
        self.ended: list[int] = []
        """Exit statuses of its processes before this one; negative: the signal that killed it."""

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def start(self) -> None:
        """Start (again); what it writes is appended to its log."""
        if self._process is not None and self._process.returncode is not None:
            self.ended.append(self._process.returncode)
        env = environment(self._pod, self.port)
        command = [_expanded(part, env) for part in (*self.spec.get("command", ()), *self.spec.get("args", ()))]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_WITH_PARENT, *command],
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.started_at, self.ready, self._good, self._bad = time.time(), False, 0, 0

    def last_words(self) -> str:
        """The last lines of its log, and how its processes ended so far."""
        lines = self._log.read_text(errors="replace").splitlines()[-LAST_LINES:] if self._log.exists() else []
        return "\n".join([*lines, f"it ended with {', '.join(map(str, self.ended)) or 'nothing: it runs'}"])

    async def probe(self, session: aiohttp.ClientSession) -> None:
        """One readiness probe; without one it is ready while it runs."""
        probe = self.spec.get("readinessProbe")
        if self.exit_code is not None:
            self.ready = False
            return
        if probe is None:
            self.ready = True
            return
        ok = await self._answers(session, probe)
        self._good, self._bad = (self._good + 1, 0) if ok else (0, self._bad + 1)
        if self._good >= probe.get("successThreshold", 1):
            self.ready = True
        if self._bad >= probe.get("failureThreshold", 3):
            self.ready = False

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, and after the grace period SIGKILL."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        until = time.monotonic() + grace_s
        while self._process.poll() is None and time.monotonic() < until:
            await asyncio.sleep(0.05)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    async def _answers(self, session: aiohttp.ClientSession, probe: Json) -> bool:
        limit = aiohttp.ClientTimeout(total=float(probe.get("timeoutSeconds", 1)))
        try:
            async with session.get(f"http://127.0.0.1:{self.port}{probe['httpGet']['path']}", timeout=limit) as reply:
                return reply.status < 400
        except (aiohttp.ClientError, TimeoutError):
            return False


def environment(pod: Json, port: int) -> dict[str, str]:
    """Its variables: ours (PORT, IMAGE_TAG), then the spec's, with the downward API and `$(NAME)` references resolved."""
    container: Json = pod["spec"]["containers"][0]
    env = {"PORT": str(port), "IMAGE_TAG": str(container["image"]).rpartition(":")[2]}
    for variable in container.get("env") or ():
        if "valueFrom" in variable:
            section, _, field = variable["valueFrom"]["fieldRef"]["fieldPath"].partition(".")
            env[variable["name"]] = str(pod[section][field])
        else:
            env[variable["name"]] = _expanded(variable.get("value", ""), env)
    return env


def _expanded(text: str, env: dict[str, str]) -> str:
    return _REFERENCE.sub(lambda m: env.get(m[1], m[0]), text)
