"""`homeostat up` as an operator would start it, with the actuator `kubernetes` and the rights of a token user."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from connectors.kafka.client import KafkaBroker
from contracts.settings import BrokerSettings
from homeostat.demo.play import SETTINGS, TOPICS
from homeostat.demo.watching import EventsSeen
from homeostat.endpoints import Endpoints, running

READY_S: Final = 60.0


@asynccontextmanager
async def homeostat(folder: Path, kubeconfig: Path) -> AsyncIterator[Endpoints]:
    """The running process; its data and its log (homeostat.log) are in `folder`."""
    settings = {k: v for k, v in SETTINGS.items() if k != "act.process_manager"} | {"act.actuators": "[kubernetes]"}
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "homeostat", "--data-dir", str(folder / "data"), *sets, "up"]
    command += ["--grpc-port", "0", "--http-port", "0", "--api-port", "0"]
    env = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    with (folder / "homeostat.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=log, stderr=asyncio.subprocess.STDOUT)
        try:
            yield await _ready(process, folder)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _ready(process: asyncio.subprocess.Process, folder: Path) -> Endpoints:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.returncode is None:
        found = running(folder / "data")
        if found is not None and found.pid == process.pid:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("`homeostat up` did not become ready:\n" + (folder / "homeostat.log").read_text()[-2000:])


class Story:
    """What Homeostat says, from now on. `begin` starts a new chapter."""

    def __init__(self) -> None:
        self.heard = EventsSeen()

    def begin(self) -> EventsSeen:
        """A new script begins now."""
        self.heard = EventsSeen()
        return self.heard


@asynccontextmanager
async def listening(endpoints: Endpoints) -> AsyncIterator[Story]:
    """Hear all topics of the loop, as another system would."""
    broker, story = KafkaBroker(BrokerSettings(url=f"kafka://{endpoints.broker}")), Story()
    await broker.start()

    async def follow() -> None:
        async for record in broker.read(TOPICS, from_beginning=False, follow=True):
            story.heard.take(record)

    following = asyncio.create_task(follow(), name="story")
    try:
        yield story
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await broker.stop()
