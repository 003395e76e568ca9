"""What every journal must do.

    journal.run_all(lambda: MyJournal(...))             # or
    @pytest.mark.parametrize("check", journal.CHECKS)
    def test_my_journal(check, tmp_path): check(lambda: MyJournal(tmp_path / "journal"))

The factory opens *the same*, at first empty journal each time it is called within one check, as another worker would.

`CHECKS` = `BY_ONE_OWNER` and `BY_MANY_AT_ONCE`; a journal that an environment's owners have one after the other only
promises the former. How owners follow each other is checked in `contracts.checks.journal_takeovers`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from contracts.checks.expecting import expect, refuses
from contracts.checks.running import on_fresh
from contracts.errors import Conflict, Fenced, HomeostatError, UnknownName
from contracts.ports import Journal, RunEntry, StepEntry
from contracts.verdicts import TERMINAL_RUN_STATES, RunState, StepPhase

Factory = Callable[[], Journal]
Check = Callable[[Factory], None]


@contextmanager
def opened(factory: Factory) -> Iterator[Journal]:
    """A journal, closed at the end."""
    journal = factory()
    try:
        yield journal
    finally:
        journal.close()


def create(journal: Journal, number: int, **changes: Any) -> RunEntry | None:
    """A run for decision d<number>, created at that time."""
    given: dict[str, Any] = {
        "run": f"r{number}",
        "decision": f"d{number}",
        "environment": "e",
        "target": "shop/cart",
        "playbook": "restart",
        "definition": {"steps": [{"restart": {}}], "n": number, "ü": None},
        "now_ns": number,
    }
    return journal.create(**(given | changes))


def check_create(factory: Factory) -> None:
    """A run is as it was created, pending and claimed, now and after reopening."""
    with opened(factory) as journal:
        entry = create(journal, 1)
        assert entry is not None, "the first run of a decision was refused"
        expect(
            (entry.state, entry.steps, entry.created_ns, entry.updated_ns), (RunState.PENDING, (), 1, 1), "a new run"
        )
        expect(journal.load("r1"), entry, "the run as loaded")
        expect(journal.load("nope"), None, "a run that is not there")
    with opened(factory) as journal:
        expect(journal.load("r1"), entry, "the run after reopening")


def check_one_run_per_decision(factory: Factory) -> None:
    """A decision never has a second run, even once the first has ended; a run's id is never given twice."""
    with opened(factory) as one, opened(factory) as two:
        entry = create(one, 1)
        assert entry is not None, "the first run of a decision was refused"
        expect(create(two, 1, run="other"), None, "a second run of the decision")
        one.set_state("r1", entry.fence, RunState.FAILED, 5)
        expect(create(two, 1, run="other"), None, "a run of a decision whose run has failed")
        expect(two.load("other"), None, "the refused run")
        refuses(Conflict, "the id of another decision's run", lambda: create(two, 2, run="r1"))


def check_race_to_create(factory: Factory) -> None:
    """Of many workers that create the run of one decision at once, exactly one wins."""
    journals = [factory() for _ in range(4)]
    won: list[RunEntry] = []
    barrier = threading.Barrier(len(journals))

    def race(journal: Journal, name: str) -> None:
        barrier.wait()
        for decision in range(10):
            entry = create(journal, decision, run=f"{name}-{decision}")
            if entry is not None:
                won.append(entry)

    threads = [threading.Thread(target=race, args=(j, f"w{i}")) for i, j in enumerate(journals)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for journal in journals:
        journal.close()
    expect(sorted(e.decision for e in won), sorted(f"d{i}" for i in range(10)), "decisions with a run")


def check_steps(factory: Factory) -> None:
    """Step lines come back in the order they were written, with their data."""
    with opened(factory) as journal:
        entry = create(journal, 1)
        assert entry is not None, "the first run of a decision was refused"
        other = create(journal, 2)
        assert other is not None, "the first run of another decision was refused"
        lines = tuple(
            StepEntry("r1", f"s{i // 2}", phase, f"r1/s{i // 2}", 10 + i, {"i": i, "t": "ü", "x": 0.5, "n": None})
            for i, phase in enumerate((StepPhase.INTENT, StepPhase.APPLIED, StepPhase.INTENT, StepPhase.UNKNOWN))
        )
        for line in lines:
            journal.step(line, entry.fence)
            journal.step(StepEntry("r2", line.step, line.phase, "k", 1), other.fence)
        expect(loaded(journal, "r1").steps, lines, "steps")
        expect([e.steps for e in journal.open_runs() if e.run == "r1"], [lines], "steps of open runs")
        expect([e.steps for e in journal.history("e") if e.run == "r1"], [lines], "steps in the history")


def check_fencing(factory: Factory) -> None:
    """After each claim only the newest owner writes; what the older ones try leaves no trace."""
    with opened(factory) as one, opened(factory) as two:
        first = create(one, 1)
        assert first is not None, "the first run of a decision was refused"
        second = two.claim("r1", 7)
        assert second.fence > first.fence, f"the fence went from {first.fence} to {second.fence}"
        third = one.claim("r1", 8)
        assert third.fence > second.fence, f"the fence went from {second.fence} to {third.fence}"
        for journal, old in ((one, first), (two, second)):
            line = StepEntry("r1", "s", StepPhase.INTENT, "k", 9)
            refuses(Fenced, "a step of an older owner", lambda j=journal, o=old, n=line: j.step(n, o.fence))  # type: ignore[misc]
            refuses(
                Fenced,
                "a state of an older owner",
                lambda j=journal, o=old: j.set_state("r1", o.fence, RunState.FAILED, 9),  # type: ignore[misc]
            )
        expect(two.load("r1"), third, "the run after refused writes")
        one.set_state("r1", third.fence, RunState.RUNNING, 9)
        expect(
            (loaded(two, "r1").state, loaded(two, "r1").updated_ns), (RunState.RUNNING, 9), "the newest owner's state"
        )
        refuses(UnknownName, "a claim of no run", lambda: one.claim("nope", 1))


def check_open_runs(factory: Factory) -> None:
    """Runs are open until a terminal state, oldest first, by environment or all."""
    with opened(factory) as journal:
        for i, state in enumerate(RunState):
            entry = create(journal, 100 - i, environment="a" if i % 2 else "b")
            assert entry is not None, "the first run of a decision was refused"
            journal.set_state(entry.run, entry.fence, state, 200)
        expected = [100 - i for i, state in enumerate(RunState) if state not in TERMINAL_RUN_STATES][::-1]
        expect([e.created_ns for e in journal.open_runs()], expected, "open runs, oldest first")
        expect(
            [e.created_ns for e in journal.open_runs("a")], [n for n in expected if (100 - n) % 2], "of one environment"
        )


def check_history(factory: Factory) -> None:
    """Guards count runs by environment, time, target and playbook; `since` is inclusive."""
    with opened(factory) as journal:
        create(journal, 1)
        create(journal, 3, target="db")
        create(journal, 2, playbook="scale")
        create(journal, 4, environment="other")
        expect([e.run for e in journal.history("e")], ["r1", "r2", "r3"], "history, oldest first")
        expect([e.run for e in journal.history("e", since_ns=2)], ["r2", "r3"], "since 2")
        expect([e.run for e in journal.history("e", target="db")], ["r3"], "of a target")
        expect([e.run for e in journal.history("e", playbook="restart", since_ns=2)], ["r3"], "of a playbook since 2")
        expect(journal.history("nowhere"), [], "of an unknown environment")


def check_facts(factory: Factory) -> None:
    """Facts are replaced whole, seen by all, and listed by prefix (whose characters mean themselves)."""
    with opened(factory) as one, opened(factory) as two:
        one.put("learnt/a", {"alpha": 1.5})
        one.put("learnt/a", {"beta": 2, "deep": {"l": [1, None, "ü"]}})
        one.put("learnt/b_1", {})
        one.put("learnt%", {"n": 1})
        expect(two.get("learnt/a"), {"beta": 2, "deep": {"l": [1, None, "ü"]}}, "a fact")
        expect(two.get("nope"), None, "a fact nobody put")
        expect(sorted(two.facts("learnt/")), ["learnt/a", "learnt/b_1"], "facts by prefix")
        expect(sorted(two.facts("learnt%")), ["learnt%"], "facts by a prefix with a wildcard's character")
        expect(sorted(two.facts("learnt/b__")), [], "facts by a prefix with another")
        expect(len(two.facts("")), 3, "all facts")


def check_facts_of_runs(factory: Factory) -> None:
    """Guards look up what runs were found to touch by when these were created, in whatever environment; the time is inclusive."""
    with opened(factory) as journal:
        for number, environment in ((1, "e"), (3, "other"), (2, "e"), (4, "e")):
            create(journal, number, environment=environment)
        for number, environment in ((1, "e"), (2, "e"), (3, "other")):
            journal.put(f"of/r{number}", {"n": number}, environment)
        journal.put("of/r9", {"n": 9}, "e")
        journal.put("off/r2", {"n": 0}, "e")
        found = journal.facts_of_runs("of/", 2)
        expect(list(found.items()), [("r2", {"n": 2}), ("r3", {"n": 3})], "facts of runs since 2, by run in order")
        expect(list(journal.facts_of_runs("of/", 0)), ["r1", "r2", "r3"], "facts of all runs")
        expect(journal.facts_of_runs("nothing/", 0), {}, "facts that nobody put")


def check_forget(factory: Factory) -> None:
    """A fact that is forgotten is as if it had never been put, for all; others stay, and it may be put again."""
    with opened(factory) as journal:
        for name in ("a", "a/b", "ab", "ü%_"):
            journal.put(name, {"n": name}, "e")
        journal.put("own", {"n": 1})
        before = journal.sizes()["facts"]
        journal.forget(["a", "ü%_", "nobody's"], "e")
        journal.forget([], "e")
        expect((journal.get("a"), journal.get("ü%_")), (None, None), "forgotten facts")
        expect(sorted(journal.facts("")), ["a/b", "ab", "own"], "what is left")
        journal.forget(["own"])
        expect(journal.sizes()["facts"], before - 3, "the number of facts")
        journal.put("a", {"again": True}, "e")
        expect(journal.get("a"), {"again": True}, "a fact that was forgotten and put again")
        try:
            with journal.together("e"):
                journal.forget(["a", "ab"], "e")
                expect(journal.get("a"), None, "a forgotten fact as seen within the block")
                raise _Broken
        except _Broken:
            pass
        expect(sorted(journal.facts("")), ["a", "a/b", "ab"], "facts after a block that raised")


def check_forget_runs(factory: Factory) -> None:
    """Only runs that ended are forgotten, those that ended first are named first, and others keep what they have."""
    with opened(factory) as journal:
        for number, ended in ((1, 50), (2, 30), (3, 0), (4, 40)):
            entry = create(journal, number)
            assert entry is not None, "the first run of a decision was refused"
            journal.step(StepEntry(entry.run, "s", StepPhase.INTENT, "k", number), entry.fence)
            if ended:
                journal.set_state(entry.run, entry.fence, RunState.FAILED, ended)
        known = {name: loaded(journal, name) for name in ("r1", "r3")}
        expect([e.run for e in journal.ended_runs(50, 9)], ["r2", "r4"], "runs that ended before 50, oldest first")
        expect([e.run for e in journal.ended_runs(99, 2)], ["r2", "r4"], "two of them")
        expect([e.steps for e in journal.ended_runs(99, 1)], [()], "steps of ended runs")
        refuses(Conflict, "forgetting an open run", lambda: journal.forget_runs(["r2", "r3"]))
        expect(len(loaded(journal, "r2").steps), 1, "a run that was not forgotten because of another")
        journal.forget_runs(["r2", "r4", "nobody's"])
        expect([e.run for e in journal.history("e")], ["r1", "r3"], "history")
        expect({name: journal.load(name) for name in ("r1", "r2", "r3")}, known | {"r2": None}, "runs")
        expect(journal.sizes()["runs"], 2, "the number of runs")
        again = create(journal, 2)
        assert again is not None, "a run that was forgotten can't be made anew"
        journal.step(StepEntry("r2", "new", StepPhase.INTENT, "k", 60), again.fence)
        expect([s.step for s in loaded(journal, "r2").steps], ["new"], "steps of a run that was made anew")


def check_audit(factory: Factory) -> None:
    """Audit records keep their bytes and order; a sequence is taken once; what is not published yet is known."""
    with opened(factory) as one, opened(factory) as two:
        for sequence in (2, 1, 3):
            one.append_audit("e", b"record %d \x00\xff" % sequence, sequence)
        one.append_audit("other", b"x", 1, published=True)
        refuses(Conflict, "a second record of that number", lambda: two.append_audit("e", b"forged", 2))
        expect(two.audit("e"), [(n, b"record %d \x00\xff" % n) for n in (1, 2, 3)], "the trail")
        expect([n for n, _ in two.audit("e", after=1)], [2, 3], "after 1")
        two.mark_published("e", 1)
        two.mark_published("e", 3)
        expect([n for n, _ in one.audit("e", unpublished=True)], [2], "what is not published")
        expect(one.audit("other", unpublished=True), [], "what was published at once")


def check_together(factory: Factory) -> None:
    """What is written together is there whole; of a block that raises nothing is, and what follows goes on as before."""
    with opened(factory) as journal:
        entry = create(journal, 1)
        assert entry is not None, "the first run of a decision was refused"
        try:
            with journal.together("e"):
                assert create(journal, 2) is not None, "a run within a block was refused"
                journal.step(StepEntry("r1", "s", StepPhase.INTENT, "k", 2), entry.fence)
                journal.set_state("r1", entry.fence, RunState.RUNNING, 2)
                journal.put("f", {}, "e")
                journal.append_audit("e", b"lost", 1)
                refuses(Conflict, "a number that is taken", lambda: journal.append_audit("e", b"lost", 1))
                raise _Broken
        except _Broken:
            pass
        expect(journal.load("r1"), entry, "a run after a block that raised")
        expect((journal.load("r2"), journal.get("f"), journal.audit("e")), (None, None, []), "what a block left")
        with journal.together("e"):
            journal.append_audit("e", b"kept", 1)
            with journal.together("e"):
                journal.step(StepEntry("r1", "s", StepPhase.INTENT, "k", 2), entry.fence)
            refuses(Fenced, "an old fence", lambda: journal.set_state("r1", entry.fence - 1, RunState.FAILED, 2))
            journal.set_state("r1", entry.fence, RunState.RUNNING, 3)
            expect(loaded(journal, "r1").state, RunState.RUNNING, "the state as seen within the block")
        expect(journal.audit("e"), [(1, b"kept")], "the audit trail of a block")
        found = loaded(journal, "r1")
        expect((found.state, len(found.steps)), (RunState.RUNNING, 1), "the run after a block")
        journal.step(StepEntry("r1", "s", StepPhase.APPLIED, "k", 4), entry.fence)
        expect(len(loaded(journal, "r1").steps), 2, "steps after both blocks")


class _Broken(Exception):
    """Ends a block."""


def check_threads(factory: Factory) -> None:
    """Threads may share one journal: nothing is lost."""
    with opened(factory) as journal:
        failed: list[BaseException] = []

        def work(thread: int) -> None:
            try:
                for i in range(10):
                    entry = create(journal, thread * 100 + i)
                    assert entry is not None, "the first run of a decision was refused"
                    journal.step(StepEntry(entry.run, "s", StepPhase.INTENT, "k", i), entry.fence)
                    journal.put(f"t/{thread}/{i}", {})
            except BaseException as e:  # noqa: BLE001 (handed to the checking thread)
                failed.append(e)

        threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expect(failed, [], "errors in threads")
        expect((len(journal.open_runs()), len(journal.facts("t/"))), (40, 40), "runs and facts of four threads")


def check_close(factory: Factory) -> None:
    """Closing twice is fine; a closed journal says so."""
    journal = factory()
    journal.close()
    journal.close()
    refuses(HomeostatError, "a question to a closed journal", lambda: journal.load("r"))


def loaded(journal: Journal, run: str) -> RunEntry:
    """A run that must be there."""
    entry = journal.load(run)
    assert entry is not None, f"run {run} is gone"
    return entry


BY_ONE_OWNER: Final[tuple[Check, ...]] = (
    check_create,
    check_steps,
    check_open_runs,
    check_history,
    check_facts_of_runs,
    check_forget,
    check_forget_runs,
    check_together,
    check_threads,
    check_close,
)
BY_MANY_AT_ONCE: Final[tuple[Check, ...]] = (
    check_one_run_per_decision,
    check_race_to_create,
    check_fencing,
    check_facts,
    check_audit,
)
CHECKS: Final = BY_ONE_OWNER + BY_MANY_AT_ONCE

run_all: Final = on_fresh(CHECKS)
"""Runs all checks, each on the factory of a new, empty journal; AssertionError with the first thing that is wrong."""
