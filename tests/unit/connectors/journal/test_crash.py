"""The journal through kill −9 and against itself: what a method returned from is there, what it did not is whole or absent."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from connectors.journal.sqlite import SqliteJournal
from contracts.errors import Fenced
from contracts.ports import StepEntry
from contracts.verdicts import RunState, StepPhase

# Says each thing it will do, does it, says that it is done.
_WRITER = """
import sys
from pathlib import Path
from connectors.journal.sqlite import SqliteJournal
from contracts.ports import StepEntry
from contracts.verdicts import RunState, StepPhase
journal = SqliteJournal(Path(sys.argv[1]))
first = int(sys.argv[2])
def done(what): print(what, flush=True)
for i in range(first, first + 10_000):
    entry = journal.create(run=f"r{i}", decision=f"d{i}", environment="e", target="t", playbook="p",
        definition={"i": i, "pad": "x" * 2000}, now_ns=i)
    done(f"create {i}")
    journal.step(StepEntry(f"r{i}", "s", StepPhase.INTENT, f"k{i}", i, {"pad": "y" * 500}), entry.fence)
    done(f"intent {i}")
    journal.append_audit("e", b"z" * 500, i + 1)
    done(f"audit {i}")
    journal.step(StepEntry(f"r{i}", "s", StepPhase.APPLIED, f"k{i}", i), entry.fence)
    done(f"applied {i}")
    journal.set_state(f"r{i}", entry.fence, RunState.SUCCEEDED, i)
    done(f"state {i}")
    journal.put(f"verdict/r{i}", {"i": i}, "e")
    if i % 3 == 2 and i > first:
        with journal.together("e"):
            journal.forget_runs([f"r{i - 1}"])
            journal.forget([f"verdict/r{i - 1}"], "e")
        done(f"forgot {i - 1}")
"""


def killed_writer(file: Path, first: int, words: int) -> list[str]:
    """What a writer said it had done until it was killed, somewhere after so many words."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(file), str(first)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(words)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read().split("\n")[:-1]  # the last line may be cut
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return said


def order_is_whole(journal: SqliteJournal, i: int) -> bool:
    """Whether run `i` is in a state that the writer's order of calls can leave; False if it was never there."""
    entry = journal.load(f"r{i}")
    if i % 3 == 1 and entry is None and journal.load(f"r{i + 1}") is not None:
        assert journal.get(f"verdict/r{i}") is None, "a run was forgotten without the facts about it"
        return True
    audit = {n for n, _ in journal.audit("e", after=i)} & {i + 1}
    if entry is None:
        assert not audit
        return False
    phases = [step.phase for step in entry.steps]
    assert phases in ([], [StepPhase.INTENT], [StepPhase.INTENT, StepPhase.APPLIED])
    assert len(phases) < 2 or audit
    assert entry.state is RunState.PENDING or len(phases) == 2
    assert entry.definition["i"] == i
    return True


@pytest.mark.slow
def test_killed_at_any_point(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    pauses = random.Random(7)
    first = 0
    for _ in range(6):
        said = killed_writer(file, first, pauses.randint(1, 60))
        journal = SqliteJournal(file)
        forgotten = {number for word, number in (line.split() for line in said) if word == "forgot"}
        for word, number in (line.split() for line in said):
            entry = journal.load(f"r{number}")
            may_be_gone = int(number) % 3 == 1 and journal.load(f"r{int(number) + 1}") is not None
            if number in forgotten or (entry is None and may_be_gone):
                assert (entry, journal.get(f"verdict/r{number}")) == (None, None)
                continue
            assert entry is not None, f"{word} {number} was reported done, the run is gone"
            phases = [step.phase for step in entry.steps]
            assert word != "intent" or StepPhase.INTENT in phases
            assert word != "applied" or StepPhase.APPLIED in phases
            assert word != "audit" or journal.audit("e", after=int(number))
            assert word != "state" or entry.state is RunState.SUCCEEDED
        while order_is_whole(journal, first):
            first += 1
        there = {e.run for e in journal.history("e")}
        assert there | {f"r{i}" for i in range(1, first, 3)} == {f"r{i}" for i in range(first)}
        assert len(journal.open_runs()) <= 6
        journal.close()
    assert first > 6


_RACER = """
import sys
from pathlib import Path
from connectors.journal.sqlite import SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for i in range(50):
    if journal.create(run=f"{sys.argv[2]}-{i}", decision=f"d{i}", environment="e", target="t", playbook="p",
            definition={}, now_ns=i):
        print(i, flush=True)
journal.close()
"""


@contextmanager
def racing(file: Path, *names: str) -> Iterator[list[subprocess.Popen[str]]]:
    """A racer of each name; none of them outlives the block."""
    with ExitStack() as those:
        racers = []
        for name in names:
            command = [sys.executable, "-c", _RACER, str(file), name]
            racer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            racers.append(those.enter_context(racer))
            those.callback(racer.kill)
        yield racers


def test_two_processes_race_for_each_decision(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    with racing(file, "a", "b") as racers:
        won = outcome(racers)
    assert sorted(map(int, won[0] + won[1])) == list(range(50))
    journal = SqliteJournal(file)
    assert {e.run for e in journal.history("e")} == {f"a-{i}" for i in won[0]} | {f"b-{i}" for i in won[1]}
    journal.close()


def outcome(racers: list[subprocess.Popen[str]]) -> list[list[str]]:
    """The decisions that each racer won, when all have run to their ends."""
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [racer.communicate()[0].split() for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * len(racers)
    return won


_OWNER = """
import itertools
import sys
import time
from pathlib import Path
from connectors.journal.sqlite import SqliteJournal
from contracts.errors import Fenced
from contracts.ports import StepEntry
from contracts.verdicts import StepPhase
journal = SqliteJournal(Path(sys.argv[1]))
entry = journal.claim("r", 1)
print(entry.fence, flush=True)
try:
    for i in itertools.count():
        time.sleep(0.0005)  # SQLite's lock is not fair: who never pauses keeps all others out
        journal.step(StepEntry("r", str(i), StepPhase.INTENT, "k", i, {"fence": entry.fence}), entry.fence)
except Fenced:
    print("fenced", flush=True)
"""


def test_an_owner_that_was_replaced_stops(tmp_path: Path) -> None:
    """Another process claims the run while its owner writes: no line of the old owner comes after the claim."""
    file = tmp_path / "journal.sqlite"
    journal = SqliteJournal(file)
    journal.create(run="r", decision="d", environment="e", target="t", playbook="p", definition={}, now_ns=0)
    owner = subprocess.Popen([sys.executable, "-c", _OWNER, str(file)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "2\n"
    time.sleep(0.05)
    claimed = journal.claim("r", 2)
    journal.step(StepEntry("r", "mine", StepPhase.INTENT, "k", 3, {"fence": claimed.fence}), claimed.fence)
    assert owner.stdout.read() == "fenced\n"
    owner.stdout.close()
    assert owner.wait() == 0
    lines = journal.load("r")
    assert lines is not None
    assert lines.steps[-1].step == "mine"
    assert [s.data["fence"] for s in lines.steps] == [2] * len(claimed.steps) + [3]
    with pytest.raises(Fenced):
        journal.set_state("r", 2, RunState.FAILED, 4)
    journal.close()
