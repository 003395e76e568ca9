"""A plugin in one file: the action `shed` (admit only a share of the requests), and the actuator `door` that does it.

The doors are a JSON file that a proxy watches, service -> {admit, replicas, ready, behind}: the share of requests that are let in, how
many instances serve, and which services are reached through the same door. `plugins.door.file` says where it is. Then

    steps: [{name: relieve, action: shed, with: {admit: 0.5}}]
    rollback: [{name: open, action: shed, with: {admit: before}}]
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from homeostat.api import (
    Action,
    ActionFailed,
    ActSettings,
    Applied,
    Argument,
    Conflict,
    Identity,
    Mark,
    NumberValue,
    Plugin,
    PluginSettings,
    ReplicaBounds,
    StepRequest,
    StepResult,
    Target,
    TargetNotFound,
    TargetState,
    checks,
    ensure_alone,
)


class ShedAction(Action):
    """Arguments are `{admit}`, the share that is let in. The state's `detail` has the present share, and who else is behind the door."""

    name = "shed"
    text = "Let only a share of the target's requests in."
    arguments = (
        Argument(
            key="admit",
            value=NumberValue(0, 1),
            text="this share of them; `before` (in rollback) is as many as there were",
            required=True,
            before=True,
        ),
    )
    example = "{admit: 0.5}"
    undo = "{name: open, action: shed, with: {admit: before}}"
    meets_demand = True

    def restored(
        self, given: Mapping[str, Any], state: TargetState | None, before: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        """The share from before, unless the step names one."""
        if "admit" in given:
            return dict(given)
        if before is None:
            raise ActionFailed("the share from before is not known")
        return {"admit": float(before.detail["admit"])}

    def taken(self, arguments: Mapping[str, Any], state: TargetState) -> int:
        """All that serve, where nobody is let in: an outage, which a person must agree to."""
        return state.ready if arguments["admit"] == 0 else 0

    def also_affects(self, arguments: Mapping[str, Any], state: TargetState) -> tuple[str, ...]:
        """Whoever else is reached through the same door; the guard on blast radius counts them."""
        return tuple(filter(None, state.detail.get("behind", "").split(" ")))

    def unable(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """A target without a door can't be relieved by one."""
        return "" if "admit" in state.detail else "no door"

    def pointless(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """Tiers 2 and 3 are not done where that share is let in already."""
        return "no other share to admit" if str(arguments["admit"]) == state.detail.get("admit") else ""

    def words(self, target: str, arguments: Mapping[str, Any]) -> str:
        """For the audit: `admit 50 % of the requests of cart`."""
        return f"admit {arguments['admit']:.0%} of the requests of {target}"

    def levels(self, arguments: Mapping[str, Any], before: TargetState | None) -> tuple[str, str]:
        """The share before and after."""
        return "" if before is None else before.detail.get("admit", ""), str(arguments["admit"])

    def simulated(self, arguments: Mapping[str, Any], state: TargetState) -> TargetState:
        """The door, so far open."""
        return replace(state, detail={**state.detail, "admit": str(arguments["admit"])})


class DoorSettings(PluginSettings):
    """Settings under `plugins.door`."""

    file: Path = Field(description="JSON file of doors that a proxy watches")


class DoorActuator:
    """Writes the file of doors. The file remembers the keys of what was done, so that nothing is done twice."""

    name = "door"
    actions = frozenset({"shed"})

    def __init__(self, own: DoorSettings, settings: ActSettings) -> None:
        self._file = own.file

    async def resolve(self, target: Target) -> Identity:
        """The door of that name."""
        self._door(target)
        return Identity(f"door:{self._file}", "door", target.service)

    async def describe(self, target: Target) -> TargetState:
        """How many serve behind it, and how far it is open."""
        door = self._door(target)
        return TargetState(
            replicas=door["replicas"],
            ready=door["ready"],
            generation=str(len(door.get("keys", ()))),
            detail={"admit": str(float(door["admit"])), "behind": " ".join(door.get("behind", ()))},
            identity=await self.resolve(target),
            acted=Mark.of(door.get("acted", "")),
        )

    async def apply(self, request: StepRequest) -> StepResult:
        """Set the share, once per key."""
        if request.action not in self.actions:
            raise ActionFailed(f"a door can't {request.action}")
        if request.identity not in (None, await self.resolve(request.target)):
            raise Conflict(f"{request.target.service} is not {request.identity}")
        doors, name = self._read(), request.target.service
        if request.key not in doors[name].setdefault("keys", []):
            ensure_alone(request, Mark.of(doors[name].get("acted", "")))
            doors[name]["admit"] = request.arguments["admit"]
            doors[name]["keys"].append(request.key)
            doors[name]["acted"] = request.mark.text if request.mark else ""
            beside = self._file.with_suffix(".new")
            beside.write_text(json.dumps(doors), "utf-8")
            beside.replace(self._file)
        return StepResult(f"{name} admits {request.arguments['admit']:.0%}", await self.describe(request.target))

    async def applied(self, request: StepRequest) -> Applied:
        """Whether the file has the key."""
        return Applied.YES if request.key in self._door(request.target).get("keys", ()) else Applied.NO

    async def close(self) -> None:
        """Nothing to release."""

    def _door(self, target: Target) -> dict[str, Any]:
        doors = self._read()
        if target.service not in doors:
            raise TargetNotFound(f"no door {target.service!r}", fix=f"there are: {', '.join(sorted(doors))}")
        return dict(doors[target.service])

    def _read(self) -> dict[str, Any]:
        return dict(json.loads(self._file.read_text("utf-8")))


@contextlib.contextmanager
def subject(_: DoorSettings, settings: ActSettings) -> Iterator[checks.actuator.Subject]:
    """Doors of its own for each check: the real ones are left alone."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "doors.json"
        file.write_text(json.dumps({"cart": {"admit": 1.0, "replicas": 2, "ready": 2}}), "utf-8")
        yield checks.actuator.Subject(
            open=lambda: DoorActuator(DoorSettings(file=file), settings),
            target=Target("production", "cart"),
            effects=lambda: len(json.loads(file.read_text("utf-8"))["cart"].get("keys", ())),
            arguments={"shed": {"admit": 0.5}},
            unlisted="cart",
        )


SHED = ShedAction()
DOOR: Plugin[ActSettings, DoorActuator] = Plugin(DoorActuator, settings=DoorSettings, subject=subject)
