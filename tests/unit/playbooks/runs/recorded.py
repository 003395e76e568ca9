"""Journals of whole runs as their writes, one after the other, and what a new process makes of each beginning of them.

The recordings in `tests/testdata/journals` were made by the release before the run's machine was a table. They stay as they are:
a release that cannot go on with them loses runs at an upgrade. `python -m tests.unit.playbooks.runs.recorded FOLDER` records anew,
for a format that changes on purpose.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from contracts.errors import ActionFailed, OutcomeUnknown
from contracts.ports import RunEntry, StepEntry, StepRequest, StepResult
from contracts.units import SECOND
from contracts.verdicts import RunState
from playbooks.language.model import Playbook, Step
from playbooks.runs import run_of
from tests.unit.playbooks.runs.support import (
    RESTART,
    SCALE,
    T0,
    MemoryJournal,
    World,
    approval,
    control,
    decision,
    frame,
)

FOLDER: Final = Path(__file__).parents[3] / "testdata/journals"
PLAYBOOKS: Final[Mapping[str, Playbook]] = {
    "helps": RESTART,
    "worse": SCALE,
    "approved": replace(RESTART, tier=3),
    "denied": replace(RESTART, tier=3),
    "silence": RESTART,
    "pauses": replace(
        SCALE,
        steps=(Step("grow", "scale", {"by": 1}, retries=1), Step("pause", "wait", {"seconds": 3}, needs=("grow",)),
               Step("restart", "restart", needs=("pause",), retries=2)),
    ),
    "half": replace(SCALE, steps=(Step("grow", "scale", {"by": 1}), Step("restart", "restart", needs=("grow",)))),
    "lost": RESTART,
    "fails": RESTART,
    "stuck": SCALE,
    "stopped": replace(SCALE, steps=(Step("grow", "scale", {"by": 1}), Step("pause", "wait", {"seconds": 9}))),
}  # fmt: skip
"""One playbook for each story that is recorded."""


@dataclass
class Moment:
    """What a journal was told in one transaction, when, and which effects had happened by then."""

    now_ns: int
    effects: list[str]
    replicas: int
    writes: list[list[Any]]


class RecordingJournal(MemoryJournal):
    """Remembers each transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[Moment] = []
        self.world: World | None = None
        self._depth, self._writes = 0, []  # type: ignore[var-annotated]

    @contextmanager
    def together(self, environment: str) -> Iterator[None]:
        self._depth += 1
        try:
            with super().together(environment):
                yield
        finally:
            self._depth -= 1
            self._end()

    def _end(self) -> None:
        if self._depth == 0 and self._writes:
            world = self.world
            now_ns, effects, replicas = (
                (T0, [], 2)
                if world is None
                else (world.clock.now_ns(), list(world.process.applied_keys), world.process.state.replicas)
            )
            self.moments.append(Moment(now_ns, effects, replicas, self._writes))
            self._writes = []

    def _wrote(self, *write: Any) -> None:
        self._writes.append([w if isinstance(w, str | int | None) else msgspec.to_builtins(w) for w in write])
        self._end()

    def create(self, **run: Any) -> RunEntry | None:
        entry = super().create(**run)
        if entry is not None:
            self._wrote("create", entry)
        return entry

    def set_state(self, run: str, fence: int, state: RunState, now_ns: int) -> None:
        super().set_state(run, fence, state, now_ns)
        self._wrote("set_state", run, str(state), now_ns)

    def step(self, entry: StepEntry, fence: int) -> None:
        super().step(entry, fence)
        self._wrote("step", entry)

    def put(self, key: str, value: Mapping[str, Any], environment: str = "") -> None:
        super().put(key, value, environment)
        self._wrote("put", key, msgspec.json.encode(value).decode())

    def append_audit(self, environment: str, record: bytes, sequence: int, published: bool = False) -> None:
        super().append_audit(environment, record, sequence, published)
        self._wrote("append_audit", environment, record.decode(), sequence)

    def mark_published(self, environment: str, sequence: int) -> None:
        super().mark_published(environment, sequence)
        self._wrote("mark_published", environment, sequence)


def journal_of(moments: list[Moment]) -> MemoryJournal:
    """The journal after these moments."""
    journal = MemoryJournal()
    for write in (w for moment in moments for w in moment.writes):
        match write:
            case ["create", entry]:
                run = msgspec.convert(entry, RunEntry, strict=False)
                journal.entries[run.run] = run
            case ["set_state", run, state, now_ns]:
                journal.set_state(run, journal.entries[run].fence, RunState(state), now_ns)
            case ["step", entry]:
                line = msgspec.convert(entry, StepEntry, strict=False)
                journal.step(line, journal.entries[line.run].fence)
            case ["put", key, value]:
                journal.put(key, json.loads(value))
            case ["append_audit", environment, record, sequence]:
                journal.append_audit(environment, record.encode(), sequence)
            case ["mark_published", environment, sequence]:
                journal.mark_published(environment, sequence)
    return journal


async def before(world: World) -> None:
    for second in range(-40, 0):
        await world.executor.on_evidence(frame(T0 + second * SECOND, {"cart": (50.0, 0.01 if second < -5 else 0.6)}))


def prepare(world: World, story: str) -> None:
    """What the target does in a story."""
    real = world.process.apply

    async def apply(request: StepRequest) -> StepResult:
        if story == "half" and request.action == "restart":
            raise ActionFailed("cannot restart")
        if story == "pauses" and request.action == "restart" and len(world.process.requests) < 2:
            world.process.requests.append(request)
            raise ActionFailed("not now")
        if story == "fails" or (story == "stuck" and request.step.startswith("rollback/")):
            raise ActionFailed("it is locked")
        result = await real(request)
        if story == "lost":
            raise OutcomeUnknown("the connection was lost")
        return result

    world.process.apply = apply  # type: ignore[method-assign]


async def go_on(world: World, story: str, from_s: int) -> None:
    """The rest of a story, from this second on."""
    error = {"helps": 0.0, "approved": 0.0, "worse": 1.0, "half": 1.0, "stuck": 1.0, "silence": None}.get(story, 0.0)
    for second in range(from_s + 1, 45):
        if second == 2 and story in {"approved", "denied"}:
            await world.executor.on_approval(approval(approve=story == "approved", now_ns=world.clock.now_ns()))
        if second == 4 and story == "stopped":
            await world.executor.on_control(control(acting=False))
        await world.run_to(second, error=error if world.process.applied_keys or error is None else 0.6)


async def record(story: str) -> list[Moment]:
    """Tell a story; its moments."""
    world = World(PLAYBOOKS[story])
    world.journal = journal = RecordingJournal()
    journal.world = world
    world.born()
    prepare(world, story)
    await before(world)
    await world.executor.on_decision(decision(PLAYBOOKS[story].name))
    await world.executor.idle()
    await go_on(world, story, 0)
    await world.done()
    return journal.moments


async def resumed(story: str, moments: list[Moment]) -> dict[str, Any]:
    """What a new process makes of a journal that ends with these moments."""
    world = World(PLAYBOOKS[story])
    world.journal = journal_of(moments)
    last = moments[-1]
    world.clock.advance_to(last.now_ns)
    world.process.applied_keys = list(last.effects)
    world.process.state = replace(world.process.state, replicas=last.replicas)
    world.born()
    prepare(world, story)
    await before(world)
    known = max((n for n in world.journal.records["test"]), default=0)
    await world.executor.resume()
    await world.executor.idle()
    await go_on(world, story, (last.now_ns - T0) // SECOND)
    await world.done()
    entry = world.journal.entries.get(run_of("d1"))
    bodies = [json.loads(body) for _, body in world.journal.audit("test", after=known)]
    return {
        "state": None if entry is None else str(entry.state),
        "effects": len(world.process.applied_keys),
        "replicas": world.process.state.replicas,
        "steps": [] if entry is None else [[s.step, str(s.phase), s.key[:8]] for s in entry.steps],
        "told": [[b["type"], b["step"], b["text"]] for b in bodies],
    }


def read(story: str) -> tuple[list[Moment], list[dict[str, Any]]]:
    """A recording, and what the release that made it did after each of its moments."""
    whole = json.loads((FOLDER / f"{story}.json").read_text("utf-8"))
    return [Moment(**moment) for moment in whole["moments"]], whole["resumed"]


async def main(folder: Path) -> None:
    for story in PLAYBOOKS:
        moments = await record(story)
        while not journal_of(moments[:1]).entries:  # what came before the run is of no interest by itself
            moments[:2] = [replace(moments[1], writes=[*moments[0].writes, *moments[1].writes])]
        outcomes = [await resumed(story, moments[: n + 1]) for n in range(len(moments))]
        whole = {"moments": [vars(m) for m in moments], "resumed": outcomes}
        (folder / f"{story}.json").write_text(
            json.dumps(whole, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8"
        )
        print(story, len(moments), outcomes[-1]["state"], sorted({str(o["state"]) for o in outcomes}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
