"""kill −9 at random moments, with real processes as targets: `python -m tests.checks.crash.random_kills FOLDER KILLS [SEED]`.

Lives of an executor on one SQLite journal, each a forked process that is killed after a random time, until so many were. The
services are processes of a process manager of its own, which goes on all the while and counts by itself how often each was
changed. Prints what was done and what is wrong as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from connectors.actuators.process.process_actuator import ProcessActuator
from connectors.actuators.process.store import OperationStore
from connectors.journal.sqlite import SqliteJournal
from contracts.events import Decision
from contracts.ports import SystemClock
from contracts.settings import ActSettings, BindingSettings
from contracts.verdicts import TERMINAL_RUN_STATES, Autonomy
from playbooks.audit import verify_chain
from playbooks.language.model import Guards, Match, Playbook, Step, Trigger, Verify
from playbooks.runs import Executor, ExecutorWiring, run_of, switches
from tests.checks.crash.lives import DECISION, GO, Permissive, append
from tests.checks.crash.stories import flaws
from tests.patience import PATIENCE_S

ROOT: Final = Path(__file__).parents[3]
SERVICE: Final = ROOT / "tests/unit/connectors/actuators/process/service.py"
LONGEST_S: Final = 1.2
"""A life that is not killed before takes about as long as this on a busy machine."""
GROW: Final = Playbook(
    name="grow",
    version="1",
    description="Two effects in a row",
    trigger=Trigger(Match()),
    tier=2,
    guards=Guards(blast_radius=1.0, cooldown_s=0, max_per_hour=10**6),
    steps=(Step("scale", "scale", {"by": 1}, retries=2), Step("restart", "restart", needs=("scale",), retries=2)),
    verify=Verify(()),
)
SHRINK: Final = replace(GROW, name="shrink", steps=(Step("scale", "scale", {"by": -1}, retries=2), GROW.steps[1]))


def decision(number: int) -> Decision:
    """One after the other, which take back what the one before did."""
    playbook = SHRINK if number % 2 else GROW
    chosen = msgspec.structs.replace(DECISION.chosen, playbook=playbook.name)
    return msgspec.structs.replace(
        DECISION, id=f"d{number}", incident=f"i{number}", time_ns=time.time_ns(), chosen=chosen
    )


async def live(folder: Path, url: str, number: int) -> None:
    """One life: until the run of a decision is over."""
    journal, actuator = SqliteJournal(folder / "journal.sqlite"), ProcessActuator(ActSettings(process_manager=url))

    async def publish(topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]], route: str) -> None:
        await asyncio.sleep(0)
        if topic == "autonomous.actions":
            append(folder / "messages", value)

    async def caught_up() -> None:
        """There is one process, and nobody else turns switches."""

    switches.begin(journal, GO)
    executor = Executor(
        ExecutorWiring(
            journal=journal,
            actuators=(actuator,),
            policy=Permissive(),
            clock=SystemClock(),
            playbooks={p.name: p for p in (GROW, SHRINK)},
            settings=ActSettings(environments={"test": BindingSettings()}),
            publish=publish,
            graph=lambda write: None,
            autonomy=Autonomy.ACT,
            caught_up=caught_up,
            changed=lambda _: None,
        )
    )
    await executor.resume()
    given = decision(number)
    if journal.load(run_of(given.id)) is None:
        executor.issued(given)
        await executor.on_decision(given)
    while (entry := journal.load(run_of(given.id))) is None or entry.state not in TERMINAL_RUN_STATES:
        await asyncio.sleep(0.005)
    await executor.stop()
    await actuator.close()
    journal.close()


def killed(folder: Path, url: str, number: int, after_s: float) -> bool:
    """A life in a process of its own, killed after that time unless it ended before: whether it was killed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            asyncio.run(live(folder, url, number))
            code = 0
        finally:
            os._exit(code)
    until = time.monotonic() + after_s
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            assert status == 0, f"a life ended with status {status}"
            return False
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


@contextmanager
def manager(folder: Path) -> Iterator[str]:
    """The URL of a process manager that runs one service."""
    command = [sys.executable, "-S", str(SERVICE), "{port}", "{version}", "{instance}"]
    (folder / "services.yaml").write_text(json.dumps([{"name": "cart", "command": command, "replicas": 1}]))
    start = [sys.executable, "-m", "connectors.actuators.process", str(folder / "services.yaml")]
    process = subprocess.Popen(
        [*start, "--state", str(folder / "operations.sqlite")], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().rpartition(" ")[2].strip()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        process.stdout.close()


def changes(url: str) -> int:
    """How often the service was changed, as the manager counts."""
    with urllib.request.urlopen(f"{url}/services/cart", timeout=PATIENCE_S) as answer:
        return int(json.load(answer)["generation"])


def judged(folder: Path, decisions: int, counted: int) -> dict[str, Any]:
    """What was done, and what is wrong with it."""
    journal = SqliteJournal(folder / "journal.sqlite")
    entries = {n: journal.load(run_of(f"d{n}")) for n in range(decisions)}
    kept = [body.decode() for _, body in journal.audit("test")]
    journal.close()
    store = OperationStore(folder / "operations.sqlite")
    done: Counter[tuple[str, str]] = Counter()
    for entry in entries.values():
        assert entry is not None, "a decision has no run"
        for step, key in {(line.step, line.key) for line in entry.steps}:
            operation = store.find(key)
            done[entry.run, step] += operation is not None and operation.state.value == "done"
    store.close()
    published = (folder / "messages").read_text().splitlines()
    states = Counter(entry.state.value for entry in entries.values() if entry is not None)
    wrong = [f"{run}/{step}: {n} effects" for (run, step), n in done.items() if n > 1]
    wrong += flaws(json.loads(line) for line in published)
    wrong += verify_chain(line.encode() for line in published).problems
    if set(kept) != set(published):
        wrong.append("what the journal keeps and what the world read differ")
    if counted != sum(done.values()):
        wrong.append(f"{counted} changes were counted, {sum(done.values())} were recorded")
    if any(
        done[entry.run, s] != 1
        for entry in entries.values()
        if entry and entry.state == "succeeded"
        for s in ("scale", "restart")
    ):
        wrong.append("a run succeeded without its effects")
    return {"states": states, "effects": sum(done.values()), "records": len(kept), "wrong": wrong}


def main(folder: Path, kills: int, seed: int) -> None:
    """So many kills, then the last run to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    luck, count, number = random.Random(seed), 0, 0
    with manager(folder) as url:
        before = changes(url)
        while count < kills:
            while count < kills and killed(folder, url, number, luck.uniform(0.0, LONGEST_S)):
                count += 1
            killed(folder, url, number, 120)
            number += 1
        found = judged(folder, number, changes(url) - before)
    sys.stdout.write(json.dumps({"kills": count, "decisions": number, **found}) + "\n")
    if found["wrong"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
