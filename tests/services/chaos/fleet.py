"""Real `homeostat worker` processes with a data folder each: started, killed, stopped, counted."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from tests.services.servers.process import WITH_PARENT

STOP_S, READY_S = 60.0, 120.0
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@dataclass
class Member:
    """One worker."""

    name: str
    folder: Path
    process: asyncio.subprocess.Process

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    @property
    def ready(self) -> bool:
        """Whether it has said so."""
        return "homeostat is ready" in (self.folder / "log").read_text()


class Fleet:
    """Workers of one consumer group."""

    def __init__(self, folder: Path, kafka_url: str, settings: dict[str, object]) -> None:
        self._folder, self._url, self._settings = folder, kafka_url, settings
        self._numbers = itertools.count(1)
        self.members: list[Member] = []
        self.retired: list[Member] = []

    async def add(self) -> Member:
        """Start one more, on a machine of its own as it were: nothing of others' folders is there."""
        name = f"worker-{next(self._numbers)}"
        folder = self._folder / name
        folder.mkdir(parents=True)
        (folder / "settings.yaml").write_text(yaml.safe_dump(self._settings))
        command = [*WITH_PARENT, sys.executable, "-m", "homeostat", "--config", str(folder / "settings.yaml")]
        command += ["--data-dir", str(folder / "data"), "worker", "--broker", self._url]
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command, stdout=log, stderr=log, cwd=ROOT, env=dict(os.environ)
            )
        member = Member(name, folder, process)
        self.members.append(member)
        return member

    async def ready(self, members: list[Member] | None = None) -> None:
        """Until all (of `members`) have joined."""
        async with asyncio.timeout(READY_S):
            for member in members or self.members:
                while not member.ready:
                    assert member.alive, f"{member.name} ended:\n{self.words(member)}"
                    await asyncio.sleep(0.05)

    async def kill(self, member: Member) -> None:
        """SIGKILL."""
        member.process.send_signal(signal.SIGKILL)
        await member.process.wait()
        self._retire(member)

    async def stop(self, members: list[Member]) -> None:
        """SIGTERM to all of them at once; each must end well."""
        for member in members:
            member.process.send_signal(signal.SIGTERM)
        for member in members:
            try:
                status = await asyncio.wait_for(member.process.wait(), STOP_S)
            except TimeoutError:
                member.process.kill()
                await member.process.wait()
                raise AssertionError(f"{member.name} did not stop in {STOP_S:g} s:\n{self.words(member)}") from None
            self._retire(member)
            assert status == 0, f"{member.name} ended with status {status}:\n{self.words(member)}"

    async def end(self) -> None:
        """Kill what is left."""
        for member in list(self.members):
            if member.alive:
                await self.kill(member)

    def words(self, member: Member) -> str:
        """The last of its log."""
        return (member.folder / "log").read_text()[-3000:]

    def tracebacks(self) -> dict[str, str]:
        """The first traceback of each worker that wrote one."""
        found = {}
        for member in [*self.members, *self.retired]:
            text = (member.folder / "log").read_text()
            at = text.find("Traceback")
            if at >= 0:
                found[member.name] = text[max(0, at - 300) : at + 2500]
        return found

    def _retire(self, member: Member) -> None:
        self.members.remove(member)
        self.retired.append(member)


def command_settings(folder: Path, environments: Iterable[str]) -> dict[str, object]:
    """What workers need to act here: one playbook, whose one step appends its key to a file."""
    effects, script, playbook = folder / "effects", folder / "note.sh", folder / "note.yaml"
    script.write_text(f'#!/bin/sh\necho "$HOMEOSTAT_KEY $HOMEOSTAT_RUN" >> "{effects}"\n')
    script.chmod(0o755)
    playbook.write_text(yaml.safe_dump(PLAYBOOK, sort_keys=False))
    effects.touch()
    return {
        "actuators": ["command"],
        "environments": {name: {} for name in environments},
        "commands": {"note": [str(script)]},
        "playbooks": [str(playbook)],
        "library": False,
    }


def effects_of(folder: Path) -> list[str]:
    """The run of each effect that happened, in order."""
    return [line.split()[1] for line in (folder / "effects").read_text().splitlines()]


PLAYBOOK = msgspec.json.decode(b"""
{"apiVersion": "homeostat.io/v1", "kind": "Playbook",
 "metadata": {"name": "note", "version": "1.0", "description": "Write a line, so that effects can be counted."},
 "trigger": {"match": {"cause": "unknown", "services": ["nothing-*"]}}, "tier": 1,
 "guards": {"cooldown": "1s", "blastRadius": 1.0, "maxConcurrent": 100},
 "steps": [{"name": "note", "action": "command", "with": {"name": "note"}, "timeout": "20s"}],
 "verify": {"checks": [{"feature": "error_rate"}], "for": "500ms", "within": "2s"}, "rollback": []}
""")
