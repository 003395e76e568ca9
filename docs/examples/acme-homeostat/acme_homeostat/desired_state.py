"""An actuator: scales services by writing how many replicas are wanted into a folder, which some supervisor carries out.

The folder has one JSON file per service, `cart.json`: {"replicas": 2, "ready": 2, "generation": 7}. Keys of what was done are kept in it,
too, so that a repetition after a crash has no second effect, whichever worker it is on.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from homeostat.api import (
    ActionFailed,
    ActSettings,
    ActuatorUnavailable,
    Applied,
    Conflict,
    Identity,
    InvalidTarget,
    Mark,
    Plugin,
    PluginSettings,
    StepRequest,
    StepResult,
    Target,
    TargetNotFound,
    TargetState,
    checks,
    ensure_alone,
)

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
KEPT = 1000


class FolderSettings(PluginSettings):
    folder: Path = Field(description="folder with one JSON file per service")


class DesiredState:
    """Can `scale`, and nothing else."""

    name = "desired-state"
    actions = frozenset({"scale"})

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    async def resolve(self, target: Target) -> Identity:
        if not NAME.fullmatch(target.service):
            raise InvalidTarget(f"{target.service!r} can't be the name of a service here")
        if not self._file(target.service).is_file():
            known = sorted(p.stem for p in self._folder.glob("*.json"))
            raise TargetNotFound(f"no service {target.service!r}", fix=f"there are: {', '.join(known) or 'none'}")
        return Identity(f"desired-state:{self._folder}", "service", target.service)

    async def describe(self, target: Target) -> TargetState:
        identity = await self.resolve(target)
        return _state(await asyncio.to_thread(self._read, target.service), identity)

    async def apply(self, request: StepRequest) -> StepResult:
        if request.action not in self.actions:
            raise ActionFailed(f"{self.name} can't {request.action}")
        identity = await self.resolve(request.target)
        if request.identity is not None and request.identity != identity:
            raise Conflict(f"{request.target.service} was {request.identity.words}, and is {identity.words}")
        wanted = int(request.arguments["replicas"])
        found = await asyncio.to_thread(self._want, request, wanted)
        return StepResult(f"{wanted} replicas of {request.target.service} are wanted", _state(found, identity))

    async def applied(self, request: StepRequest) -> Applied:
        found = await asyncio.to_thread(self._read, request.target.service)
        return Applied.YES if request.key in found.get("keys", ()) else Applied.NO

    async def close(self) -> None:
        """Nothing is kept open."""

    def _file(self, service: str) -> Path:
        return self._folder / f"{service}.json"

    def _read(self, service: str) -> dict[str, Any]:
        try:
            return dict(json.loads(self._file(service).read_text("utf-8")))
        except (OSError, ValueError) as e:
            raise ActuatorUnavailable(f"{self._file(service)}: {e}") from e

    def _want(self, request: StepRequest, replicas: int) -> dict[str, Any]:
        """Write what is wanted, once for each key, whoever else is writing; and who wants it, for another Homeostat to read."""
        service, key = request.target.service, request.key
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = self._read(service)
            if key not in found.get("keys", ()):
                ensure_alone(request, Mark.of(found.get("acted", "")))
                found["acted"] = request.mark.text if request.mark else ""
                found |= {"replicas": replicas, "generation": found.get("generation", 0) + 1}
                found["keys"] = [*found.get("keys", ())[-KEPT:], key]
                written = self._file(service).with_suffix(".new")
                written.write_text(json.dumps(found), "utf-8")
                written.replace(self._file(service))
            return found


def _state(found: dict[str, Any], identity: Identity) -> TargetState:
    replicas = int(found["replicas"])
    return TargetState(
        replicas,
        int(found.get("ready", replicas)),
        generation=str(found.get("generation", 0)),
        identity=identity,
        acted=Mark.of(found.get("acted", "")),
    )


@contextlib.contextmanager
def subject(_: FolderSettings, __: ActSettings) -> Iterator[checks.actuator.Subject]:
    """A folder of its own for each check: the real one is left alone."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cart.json"
        file.write_text('{"replicas": 1, "generation": 0}', "utf-8")
        yield checks.actuator.Subject(
            open=lambda: DesiredState(Path(folder)),
            target=Target("production", "cart"),
            effects=lambda: json.loads(file.read_text("utf-8"))["generation"],
            arguments={"scale": {"replicas": 3}},
            unlisted="cart",
        )


PLUGIN: Plugin[ActSettings, DesiredState] = Plugin(
    lambda own, _: DesiredState(own.folder), settings=FolderSettings, subject=subject
)
