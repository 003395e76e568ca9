"""Lives of an executor that end at a chosen boundary: `python -m tests.checks.crash.lives FOLDER VARIANT`.

Each life is a forked process with the real SQLite journal. A boundary is before and after each write of the journal, each
message and each effect; at the chosen one the process kills itself with SIGKILL, so that nothing is flushed or caught.
What outlives it is outside: the journal file, the file of effects, the file of messages. Prints one JSON line per case.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

from connectors.journal.sqlite import SqliteJournal
from contracts.errors import TargetNotFound
from contracts.events import Control, Decision, Option
from contracts.frames.feature_frame import EvidenceFrame
from contracts.ports import Applied, Identity, PolicyVerdict, StepRequest, StepResult, SystemClock, Target, TargetState
from contracts.settings import ActSettings, BindingSettings
from contracts.units import SECOND
from contracts.verdicts import TERMINAL_RUN_STATES, Autonomy, CauseKind, DecisionVerdict, RunState
from playbooks.language.model import Check, Guards, Match, Playbook, Step, Trigger, Verify
from playbooks.runs import Executor, ExecutorWiring, run_of, switches
from tests.patience import PATIENCE_S

PAIRS = 12
WRITES = ("create", "claim", "set_state", "step", "put", "append_audit", "mark_published")
PLAYBOOK = Playbook(
    name="scale-and-restart",
    version="1",
    description="Two effects in a row",
    trigger=Trigger(Match()),
    tier=2,
    guards=Guards(blast_radius=1.0),
    steps=(Step("grow", "scale", {"by": 1}, retries=2), Step("restart", "restart", needs=("grow",), retries=2)),
    verify=Verify((Check("error_rate"),), for_s=2.0, within_s=30.0),
    rollback=(Step("shrink", "scale", {"replicas": "before"}),),
)
BEGAN_NS = time.time_ns()
DECISION = Decision(
    id="d1",
    incident="i1",
    environment="test",
    time_ns=BEGAN_NS,
    verdict=DecisionVerdict.ACT,
    autonomy=Autonomy.ACT,
    cause=CauseKind.HANG,
    cause_service="cart",
    cause_probability=0.9,
    onset_ns=BEGAN_NS - 5 * SECOND,
    chosen=Option(playbook=PLAYBOOK.name, playbook_version="1", target="cart", score=1.0),
    options=(),
    world_hash="w",
    text="cart hangs",
)


GO = Control(scope="*", acting=True, autonomy=Autonomy.ACT, by="ann", time_ns=0)


class Boundaries:
    """Counts boundaries, and ends the process at the chosen one (0: never)."""

    def __init__(self, deadly: int) -> None:
        self.count, self._deadly = 0, deadly

    def cross(self) -> None:
        self.count += 1
        if self.count == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def crossed(*args: Any, **kwargs: Any) -> Any:
            self.cross()
            result = call(*args, **kwargs)
            self.cross()
            return result

        return crossed


def append(path: Path, line: bytes) -> None:
    with path.open("ab") as file:
        file.write(line + b"\n")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


class FileActuator:
    """Effects are lines of a file; `blind` can't tell afterwards whether one happened."""

    name = "file"
    actions = frozenset({"scale", "restart"})

    def __init__(self, folder: Path, boundaries: Boundaries, *, blind: bool) -> None:
        self._effects, self._messages, self._blind = folder / "effects", folder / "messages", blind
        self._boundaries = boundaries

    async def resolve(self, target: Target) -> Identity:
        if target.service != "cart":
            raise TargetNotFound(target.service)
        return Identity("file", "service", target.service)

    async def describe(self, target: Target) -> TargetState:
        identity = await self.resolve(target)
        replicas = 2 + sum(e["action"] == "scale" for e in lines(self._effects))
        return TargetState(replicas, replicas, version="1", identity=identity)

    async def apply(self, request: StepRequest) -> StepResult:
        announced = any(
            m["type"].endswith(".intent") and m["data"]["key"] == request.key for m in lines(self._messages)
        )
        self._boundaries.cross()
        effect = {"key": request.key, "step": request.step, "action": request.action, "announced": announced}
        append(self._effects, json.dumps(effect).encode())
        self._boundaries.cross()
        return StepResult("done", await self.describe(request.target))

    async def applied(self, request: StepRequest) -> Applied:
        if self._blind:
            return Applied.UNKNOWN
        return Applied.YES if any(e["key"] == request.key for e in lines(self._effects)) else Applied.NO

    async def close(self) -> None:
        pass


class Permissive:
    """A policy that allows everything."""

    async def evaluate(self, document: object) -> PolicyVerdict:
        return PolicyVerdict(allowed=True)

    async def close(self) -> None:
        pass


async def live(folder: Path, deadly: int, *, blind: bool) -> int:
    """One life: until the run is over, or the deadly boundary; the number of boundaries crossed."""
    boundaries = Boundaries(deadly)
    journal = SqliteJournal(folder / "journal.db")
    for name in WRITES:
        setattr(journal, name, boundaries.around(getattr(journal, name)))

    async def publish(topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]], route: str) -> None:
        boundaries.cross()
        if topic == "autonomous.actions":
            append(folder / "messages", value)
        boundaries.cross()

    async def caught_up() -> None:
        boundaries.cross()

    switches.begin(journal, GO)
    executor = Executor(
        ExecutorWiring(
            journal=journal,
            actuators=(FileActuator(folder, boundaries, blind=blind),),
            policy=Permissive(),
            clock=SystemClock(),
            playbooks={PLAYBOOK.name: PLAYBOOK},
            settings=ActSettings(environments={"test": BindingSettings()}),
            publish=publish,
            graph=lambda write: None,
            autonomy=Autonomy.ACT,
            caught_up=caught_up,
            changed=lambda _: None,
        )
    )
    await executor.resume()
    for second in range(-30, 0):  # well, and failing for the last five seconds: else nothing was wrong that got better
        await executor.on_evidence(serving(BEGAN_NS + second * SECOND, 0.6 if second >= -5 else 0.0))
    executor.issued(DECISION)
    await executor.on_decision(DECISION)
    window = time.time_ns()
    while (entry := journal.load(run_of(DECISION.id))) is None or entry.state not in TERMINAL_RUN_STATES:
        if (
            entry is not None and entry.state is RunState.VERIFYING
        ):  # seconds that go by before would be none of those that it has
            await executor.on_evidence(serving(window, 0.0))
            window += SECOND
        await asyncio.sleep(0.001)
    await executor.stop()
    journal.close()
    return boundaries.count


def serving(window_ns: int, failing: float) -> EvidenceFrame:
    """A second in which cart serves, and fails a share of requests."""
    one = np.ones((1, 2))
    return EvidenceFrame(
        environment="test", signal="spans", partition=0, window_ns=window_ns, width_ns=SECOND, services=("cart",),
        peers=(), versions=("",), attributes=("",), features=("request_rate", "error_rate"),
        values=np.array([[50.0, failing]]), counts=np.array([50]), score=0 * one, low=np.array([[30.0, 0.0]]),
        high=np.array([[70.0, 0.05]]), p_value=np.ones(1), state=("anomalous" if failing else "healthy",), notes=(),
    )  # fmt: skip


def child(folder: Path, deadly: int, *, blind: bool) -> int:
    """A life in a process of its own: boundaries crossed, or 0 if it was killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            count = asyncio.run(asyncio.wait_for(live(folder, deadly, blind=blind), PATIENCE_S))
            os.write(writing, str(count).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    _, status = os.waitpid(pid, 0)
    crossed = os.read(reading, 32)
    os.close(reading)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return 0
    if status != 0:
        raise SystemExit(f"a life ended with status {status} (boundary {deadly})")
    return int(crossed)


def case(root: Path, deaths: Sequence[int], *, blind: bool) -> dict[str, Any]:
    """Lives that end at `deaths` in turn, then one that ends well; what the world looks like afterwards."""
    folder = root / "-".join(map(str, deaths))
    folder.mkdir(parents=True)
    died = [child(folder, death, blind=blind) == 0 for death in deaths]
    child(folder, 0, blind=blind)
    journal = SqliteJournal(folder / "journal.db")
    entry = journal.load(run_of(DECISION.id))
    kept = [body.decode() for _, body in journal.audit("test")]
    journal.close()
    assert entry is not None
    return {
        "deaths": list(deaths),
        "died": died,
        "state": entry.state,
        "effects": lines(folder / "effects"),
        "messages": (folder / "messages").read_text().splitlines(),
        "kept": kept,
    }


def main(root: Path, variant: str) -> None:
    """Every single boundary, then some pairs of them."""
    blind = variant == "blind"
    whole = root / "whole"
    whole.mkdir(parents=True)
    # In this process, so that what is made once (decoders, compiled types) is there for every life to come.
    count = asyncio.run(live(whole, 0, blind=blind))
    draw = random.Random(7)
    pairs = [(draw.randint(1, count), draw.randint(1, count // 2)) for _ in range(PAIRS)]
    for deaths in [*((n,) for n in range(1, count + 1)), *dict.fromkeys(pairs)]:
        sys.stdout.write(json.dumps(case(root / "cases", deaths, blind=blind)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
