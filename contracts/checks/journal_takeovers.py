"""What every journal must do when its owner changes: what was settled is known to the next, and who is an owner no longer writes nothing.

The checks are coroutines, and so is the factory: what it returns opens *the same*, at first empty journal each time, and owns all environments
from then on. `TAKEOVERS` and `FENCING` hold for all journals.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from contracts.checks.expecting import expect, refuses
from contracts.checks.journal import create, loaded
from contracts.errors import Conflict, Fenced
from contracts.ports import Journal, RunEntry, StepEntry
from contracts.verdicts import RunState, StepPhase

Taking = Callable[[], Awaitable[Journal]]
Takeover = Callable[[Taking], Awaitable[None]]
PATIENCE_S: Final = 30.0


async def _begun(journal: Journal) -> RunEntry:
    """A run with an intent, a fact and two audit records, one of them published; all of it settled."""
    entry = create(journal, 1)
    assert entry is not None, "the first run of a decision was refused"
    journal.step(StepEntry("r1", "s", StepPhase.INTENT, "k1", 2, {"n": 1}), entry.fence)
    journal.set_state("r1", entry.fence, RunState.RUNNING, 3)
    journal.put("verdict/r1", {"text": "ü"}, "e")
    journal.append_audit("e", b"one", 1)
    with journal.together("e"):
        journal.append_audit("e", b"two", 2)
    journal.mark_published("e", 1)
    await journal.settled("e", PATIENCE_S)
    return entry


async def check_takeover_knows_everything(taking: Taking) -> None:
    """The next owner knows each run, step, fact and audit record that was settled, and goes on with them."""
    first = await taking()
    await _begun(first)
    known = first.load("r1")
    second = await taking()
    try:
        expect(second.load("r1"), known, "the run as the next owner knows it")
        expect([e.run for e in second.open_runs()], ["r1"], "open runs")
        expect([e.run for e in second.history("e")], ["r1"], "history")
        expect(create(second, 1, run="other"), None, "a second run of the decision")
        expect(second.get("verdict/r1"), {"text": "ü"}, "a fact")
        expect(second.audit("e", unpublished=True), [(2, b"two")], "what is still to be published")
        expect(second.audit("e")[-1], (2, b"two"), "the head of the chain")
        refuses(Conflict, "an audit record under a number that is taken", lambda: second.append_audit("e", b"x", 2))
        mine = second.claim("r1", 10)
        second.step(StepEntry("r1", "s", StepPhase.APPLIED, "k1", 11), mine.fence)
        await second.settled("e", PATIENCE_S)
    finally:
        first.close()
        second.close()
    third = await taking()
    try:
        phases = [(s.phase, s.key) for s in loaded(third, "r1").steps]
        expect(phases, [(StepPhase.INTENT, "k1"), (StepPhase.APPLIED, "k1")], "steps after two takeovers")
    finally:
        third.close()


async def check_what_is_forgotten_stays_forgotten(taking: Taking) -> None:
    """The next owner doesn't know what was forgotten, and knows all else; a block that forgets is kept whole."""
    first = await taking()
    for number in (1, 2):
        entry = create(first, number)
        assert entry is not None, "the first run of a decision was refused"
        first.step(StepEntry(entry.run, "s", StepPhase.INTENT, "k", number), entry.fence)
        first.set_state(entry.run, entry.fence, RunState.SUCCEEDED, 5)
        first.put(f"verdict/{entry.run}", {"n": number}, "e")
    await first.settled("e", PATIENCE_S)
    with first.together("e"):
        first.forget_runs(["r1"])
        first.forget(["verdict/r1"], "e")
    await first.settled("e", PATIENCE_S)
    second = await taking()
    try:
        expect((second.load("r1"), second.get("verdict/r1")), (None, None), "what was forgotten")
        expect([e.run for e in second.history("e")], ["r2"], "history")
        expect((len(loaded(second, "r2").steps), second.get("verdict/r2")), (1, {"n": 2}), "what was not forgotten")
        again = create(second, 1)
        assert again is not None, "a run that was forgotten can't be made anew"
        second.step(StepEntry("r1", "new", StepPhase.INTENT, "k", 9), again.fence)
        await second.settled("e", PATIENCE_S)
    finally:
        first.close()
        second.close()
    third = await taking()
    try:
        expect([s.step for s in loaded(third, "r1").steps], ["new"], "steps of a run that was made anew")
    finally:
        third.close()


async def check_a_straggler_forgets_nothing(taking: Taking) -> None:
    """What a former owner forgets, the owner still knows."""
    first = await taking()
    entry = await _begun(first)
    first.set_state("r1", entry.fence, RunState.SUCCEEDED, 4)
    await first.settled("e", PATIENCE_S)
    second = await taking()
    try:
        first.forget(["verdict/r1"], "e")
        first.forget_runs(["r1"])
        await first.settled("e", PATIENCE_S)
    except Fenced:
        pass
    else:
        raise AssertionError("a former owner forgot something, and that was settled")
    finally:
        first.close()
        second.close()
    third = await taking()
    try:
        expect(len(loaded(third, "r1").steps), 1, "a run that a former owner forgot")
        expect(third.get("verdict/r1"), {"text": "ü"}, "a fact that a former owner forgot")
    finally:
        third.close()


async def check_a_straggler_is_fenced(taking: Taking) -> None:
    """Who was an owner and has not heard yet can't go on: it gets Fenced before anything follows from what it writes, and
    the owner never sees it."""
    first = await taking()
    entry = await _begun(first)
    second = await taking()
    mine = second.claim("r1", 10)
    await second.settled("e", PATIENCE_S)
    try:
        await _straggle(first, entry)
    except Fenced:
        pass
    else:
        raise AssertionError("a former owner's intent was settled")
    second.step(StepEntry("r1", "mine", StepPhase.INTENT, "k2", 12), mine.fence)
    await second.settled("e", PATIENCE_S)
    first.close()
    second.close()
    third = await taking()
    try:
        expect([s.step for s in loaded(third, "r1").steps], ["s", "mine"], "steps of the owners alone")
    finally:
        third.close()


async def _straggle(journal: Journal, entry: RunEntry) -> None:
    journal.step(StepEntry("r1", "straggler's", StepPhase.INTENT, "k3", 11), entry.fence)
    await journal.settled("e", PATIENCE_S)


TAKEOVERS: Final[tuple[Takeover, ...]] = (
    check_takeover_knows_everything,
    check_what_is_forgotten_stays_forgotten,
)
FENCING: Final[tuple[Takeover, ...]] = (check_a_straggler_is_fenced,)
OWNERS_FENCING: Final[tuple[Takeover, ...]] = (check_a_straggler_forgets_nothing,)
"""For a journal in which an environment has one owner process."""
