"""The play: set the stage, let one fault after another happen, tell what Homeostat does about it, and judge."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from connectors.kafka.client import KafkaBroker
from contracts.errors import BrokerUnavailable, UnknownName
from contracts.settings import BrokerSettings
from contracts.supervision import end, once
from contracts.topics import ACTIONS, ANOMALIES, DECISIONS, FEEDBACK, INCIDENTS
from homeostat import terminal
from homeostat.cli.watch import Teller
from homeostat.demo.clients import Normal, learn, suffering
from homeostat.demo.load import Second
from homeostat.demo.scenes import SCENES, Scene
from homeostat.demo.shop.shop import Shop
from homeostat.demo.verdict import SceneReport, judge
from homeostat.demo.watching import EventsSeen
from homeostat.endpoints import Endpoints, running

QUIET_S = 22
"""Seconds of normal business before the first fault: detection says `warming` until it has seen this much."""
SCENE_S, SETTLE_S = 45.0, 40.0
TOPICS = (ANOMALIES, INCIDENTS, DECISIONS, ACTIONS, FEEDBACK)
SETTINGS = {
    "detect.warmup_windows": 20,
    "decide.learn_s": QUIET_S,
    "detect.close_windows": 3,
    "diagnose.resolve_s": 2,
    "act.actuators": "[process]",
    "act.environments": "{default: {}}",
    "act.process_manager": "",
}


async def play(keep: Path | None, only: Sequence[str], report: Path | None) -> int:
    """Play all scenes (or `only` those named); 0 if every one ended as it should.

    Raises:
        UnknownName: a scene that does not exist.
    """
    unknown = [n for n in only if n not in {s.name for s in SCENES}]
    if unknown:
        raise UnknownName("scene", unknown[0], (s.name for s in SCENES))
    scenes = [s for s in SCENES if not only or s.name in only]
    console = terminal.console(markup=True)
    with contextlib.ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeostat-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        reports = await _play(scenes, folder, console)
    if report is not None:
        _write(report, reports)
    return 0 if len(reports) == len(scenes) and all(r.passed for r in reports) else 1


@dataclass(frozen=True, slots=True)
class ScenePlayed:
    """All that was heard and measured of one scene."""

    scene: Scene
    heard: EventsSeen
    seconds: tuple[Second, ...]
    normal: Normal


async def play_one(name: str, folder: Path, console: Console) -> ScenePlayed:
    """Play one scene, whatever becomes of it.

    Raises:
        UnknownName: a scene that does not exist.
    """
    scene = next((s for s in SCENES if s.name == name), None)
    if scene is None:
        raise UnknownName("scene", name, (s.name for s in SCENES))
    played: list[ScenePlayed] = []
    await _play([scene], folder, console, played)
    return played[0]


async def _play(
    scenes: Sequence[Scene], folder: Path, console: Console, played: list[ScenePlayed] | None = None
) -> list[SceneReport]:
    began = time.monotonic()
    manager_port, otlp_port = free_port(), free_port()
    settings = {**SETTINGS, "act.process_manager": f"http://127.0.0.1:{manager_port}"}
    console.print(
        "[bold]Opening the shop[/]: six services, their customers, and Homeostat with the actuator for processes"
    )
    async with (
        homeostat_up(folder, settings, otlp_port) as ready,
        Shop(f"http://127.0.0.1:{otlp_port}", folder, manager_port) as shop,
    ):
        endpoints = await ready
        opened = time.monotonic() - began
        console.print(f"open after {opened:.0f} s; getting to know normal business for {QUIET_S} s …")
        await asyncio.sleep(QUIET_S)
        normal = learn(list(shop.seconds)[4:])
        async with listening(endpoints, console) as stage:
            reports = []
            for scene in scenes:
                reports.append(await _scene(scene, shop, stage, normal, console))
                if played is not None:
                    played.append(ScenePlayed(scene, stage.heard, tuple(shop.seconds), normal))
    _summary(reports, console, time.monotonic() - began)
    return reports


class SceneWatch:
    """What is heard of Homeostat, and told in the terminal, while a scene plays."""

    def __init__(self, console: Console) -> None:
        self.heard, self._console, self._teller = EventsSeen(), console, Teller()

    def begin(self) -> EventsSeen:
        """A new scene begins now."""
        self.heard = EventsSeen()
        return self.heard

    async def follow(self, broker: KafkaBroker) -> None:
        """Hear and tell for ever."""
        async for record in broker.read(TOPICS, from_beginning=False, follow=True):
            self.heard.take(record)
            line = self._teller.line(record)
            if line:
                _, colour, kind, text = line
                after = time.time() - self.heard.began
                self._console.print(f"[dim]{after:+6.1f} s[/] [{colour}]{kind:18}[/] ", end="")
                self._console.print(text, markup=False)


async def _scene(scene: Scene, shop: Shop, stage: SceneWatch, normal: Normal, console: Console) -> SceneReport:
    console.rule(f"[bold]{scene.name}[/]: {scene.title}")
    heard = stage.begin()
    await scene.happen(shop)
    heard.began = time.time()  # a release takes a while to roll out; from here on the fault is in full effect
    await until(lambda: heard.ended(scene), SCENE_S)
    await scene.afterwards(shop)
    await until(lambda: heard.over() and not any(normal.hurts(s) for s in list(shop.seconds)[-3:]), SETTLE_S)
    report = judge(scene, heard, suffering(list(shop.seconds), normal, heard.began))
    for j in report.judgements:
        console.print(f"  {'[green]✓[/]' if j.passed else '[bold red]✗[/]'} {j.question}: {j.answer}")
    return report


def _summary(reports: Sequence[SceneReport], console: Console, took_s: float) -> None:
    console.rule("[bold]seconds after the fault")
    for r in reports:
        times = "  ".join(f"{k} {'-' if v is None else f'{v:.1f}'}" for k, v in r.seconds.items())
        console.print(
            f"{'[green]as it should[/]' if r.passed else '[bold red]NOT AS IT SHOULD[/]'}  {r.name:8} {times}"
        )
    console.print(f"{took_s:.0f} s in all; felt and well are what the shop's own customers measured")


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition for so long; whether it came true."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        if condition():
            return True
        await asyncio.sleep(0.05)
    return False


@asynccontextmanager
async def listening(endpoints: Endpoints, console: Console) -> AsyncIterator[SceneWatch]:
    """What is heard and told within the block."""
    broker = KafkaBroker(BrokerSettings(url=f"kafka://{endpoints.broker}"))
    await broker.start()
    stage = SceneWatch(console)
    following = once("demo-story", stage.follow(broker))
    try:
        await asyncio.sleep(0.5)
        yield stage
    finally:
        await end(following)
        await broker.stop()


@asynccontextmanager
async def homeostat_up(
    folder: Path, settings: Mapping[str, object], otlp_port: int
) -> AsyncIterator[asyncio.Task[Endpoints]]:
    """`homeostat up` with these settings beside the block, as a process of its own; its endpoints, once it is ready."""
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    data, log = folder / "data", folder / "homeostat.log"
    command = [sys.executable, "-m", "homeostat", "--data-dir", str(data), *sets, "up"]
    command += ["--grpc-port", "0", "--http-port", str(otlp_port), "--api-port", "0"]
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=asyncio.subprocess.STDOUT)
        ready = once("demo-ready", _ready(process, data, log), awaited=True)
        try:
            yield ready
        finally:
            await end(ready)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _ready(process: asyncio.subprocess.Process, data: Path, log: Path) -> Endpoints:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.returncode is None:
        found = running(data)
        if found is not None and found.pid == process.pid and found.pid != os.getpid():
            return found
        await asyncio.sleep(0.1)
    raise BrokerUnavailable("`homeostat up` did not become ready: " + " | ".join(_last_lines(log)))


def _last_lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").strip().splitlines()[-5:]


def _write(path: Path, reports: Sequence[SceneReport]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(reports)))


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
