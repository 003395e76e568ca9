"""The order of switches is that of the log; doubt stops. A pure model of what must hold beside what is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import OURSELVES, Control
from contracts.units import DAY
from contracts.verdicts import Autonomy
from playbooks.runs import switches
from playbooks.runs.switches import EVERYWHERE, LogPosition, SwitchReading
from tests.unit.playbooks.runs.support import MemoryJournal


def said(*, acting: bool, time_ns: int = 0, scope: str = EVERYWHERE, initial: bool = False) -> Control:
    return Control(
        scope=scope,
        acting=acting,
        autonomy=Autonomy.ACT if acting else Autonomy.OBSERVE,
        by="ann",
        time_ns=time_ns,
        initial=initial,
    )


def acting(journal: MemoryJournal, environment: str = "test") -> bool:
    return switches.mode_of(journal, environment).acting


@pytest.fixture
def journal() -> MemoryJournal:
    found = MemoryJournal()
    switches.begin(found, said(acting=True))
    return found


def test_nothing_known_is_a_stop() -> None:
    assert not acting(MemoryJournal())
    assert "not known" in switches.stopped(MemoryJournal())[EVERYWHERE]
    (doubt,) = switches.controls_of(MemoryJournal(), "test")
    assert (doubt.scope, doubt.acting, doubt.by, doubt.time_ns) == (EVERYWHERE, False, OURSELVES, 0)
    assert switches.controls_of(MemoryJournal(), EVERYWHERE) == [doubt], (
        "told once where all environments are asked for"
    )


def test_a_clock_that_was_a_day_ahead_once_changes_nothing(journal: MemoryJournal) -> None:
    switches.record(journal, said(acting=True, time_ns=DAY), LogPosition("", 0, 0))
    assert switches.record(journal, said(acting=False, time_ns=5), LogPosition("", 0, 1))
    assert not acting(journal)
    switches.record(journal, said(acting=True, time_ns=1), LogPosition("", 0, 2))
    assert acting(journal)


records = st.lists(
    st.tuples(
        st.integers(0, 2),  # partition
        st.sampled_from([EVERYWHERE, "test", "other"]),
        st.booleans(),
        st.integers(-DAY, DAY),  # any time
    ),
    max_size=12,
)


@given(records, st.randoms(use_true_random=False))
def test_what_is_in_force_is_the_strictest_last_word_however_it_is_delivered(
    written: list[tuple[int, str, bool, int]], luck: object
) -> None:
    """Partitions interleave in any way, and anything may be delivered again: the same is in force, whatever times say."""
    log: dict[int, list[Control]] = {p: [] for p in range(3)}
    for partition, scope, go, time_ns in written:
        log[partition].append(said(acting=go, scope=scope, time_ns=time_ns))
    expected = {
        environment: all(
            next((c.acting for c in reversed(log[p]) if c.scope == scope), True)
            for p in log
            for scope in (EVERYWHERE, environment)
        )
        for environment in ("test", "other")
    }
    journal = MemoryJournal()
    switches.begin(journal, said(acting=True))
    at = dict.fromkeys(log, 0)
    while any(at[p] < len(log[p]) for p in log):
        p = luck.choice([p for p in log if at[p] < len(log[p])])  # type: ignore[attr-defined]
        if at[p] and luck.random() < 0.3:  # type: ignore[attr-defined]
            at[p] = luck.randrange(at[p])  # type: ignore[attr-defined]
        switches.record(journal, log[p][at[p]], LogPosition("log", p, at[p]))
        at[p] += 1
    assert {e: acting(journal, e) for e in expected} == expected


def test_a_stop_wins_a_tie(journal: MemoryJournal) -> None:
    switches.record(journal, said(acting=True), LogPosition("", 0, 3))
    switches.record(journal, said(acting=False), LogPosition("", 0, 3))
    assert not acting(journal)
    switches.record(journal, said(acting=True, time_ns=9), LogPosition("", 0, 3))
    assert not acting(journal)


def test_who_writes_to_another_partition_can_stop_and_not_undo_a_stop(journal: MemoryJournal) -> None:
    switches.record(journal, said(acting=False), LogPosition("", 1, 0))
    switches.record(journal, said(acting=True), LogPosition("", 2, 90))
    assert not acting(journal)
    switches.record(journal, said(acting=True), LogPosition("", 1, 1))
    assert acting(journal)


def test_what_began_an_installation_is_nothing_beside_what_people_say(journal: MemoryJournal) -> None:
    switches.record(journal, said(acting=False), LogPosition("", 1, 0))
    assert not switches.record(journal, said(acting=True, initial=True), LogPosition("", 1, 1))
    assert not acting(journal)


def test_an_unreadable_record_stops_until_a_later_one(journal: MemoryJournal) -> None:
    place = LogPosition("", 1, 4)
    switches.record(journal, switches.unreadable(place, 0), place)
    assert "1@4" in switches.stopped(journal)[EVERYWHERE]
    switches.record(journal, said(acting=True), LogPosition("", 0, 9))
    assert not acting(journal), "in another partition it may have been before"
    switches.record(journal, said(acting=True), LogPosition("", 1, 5))
    assert acting(journal)


def test_the_words_of_another_log_are_later(journal: MemoryJournal) -> None:
    switches.record(journal, said(acting=False), LogPosition("life-1", 1, 40))
    switches.record(journal, said(acting=True), LogPosition("life-2", 0, 0))
    assert acting(journal)


@pytest.mark.parametrize("left", [{}, {("*", 1): 3}])
def test_a_log_that_lost_what_it_held_is_doubtful(journal: MemoryJournal, left: dict[tuple[str, int], int]) -> None:
    switches.record(journal, said(acting=True), LogPosition("", 1, 7))
    found = SwitchReading()
    for (scope, partition), offset in left.items():
        found.note(scope, partition, offset)
    lost = switches.missing(switches.known_places(journal, ""), found)
    assert switches.stop_doubtful(journal, "", lost, found, 0) == ["*"]
    assert not acting(journal)
    switches.record(journal, said(acting=True), LogPosition("", 1, found.partitions.get(1, -1) + 1))
    assert acting(journal)


def test_a_log_that_goes_on_is_not_doubtful(journal: MemoryJournal) -> None:
    switches.record(journal, said(acting=True), LogPosition("", 1, 7))
    found = SwitchReading()
    found.note("*", 1, 9)
    assert switches.missing(switches.known_places(journal, ""), found) == []


def test_what_is_armed_stops_at_once_and_is_in_force_from_the_next_start(journal: MemoryJournal) -> None:
    switches.record(journal, said(acting=True), LogPosition("life-1", 1, 7))
    switches.arm(journal, said(acting=False))
    assert not acting(journal)
    assert [c.acting for c in switches.apply_armed(journal)] == [False]
    assert not acting(journal)
    switches.arm(journal, said(acting=True))
    assert not acting(journal), "who runs is told by its log"
    assert [c.acting for c in switches.apply_armed(journal)] == [True]
    assert acting(journal)
    switches.arm(journal, said(acting=False))
    switches.disarm(journal, EVERYWHERE)
    assert acting(journal)


def test_a_stop_of_an_earlier_release_holds_until_somebody_resumes() -> None:
    """Facts had no places then."""
    journal = MemoryJournal()
    journal.put("control/*", {"scope": "*", "acting": False, "autonomy": "observe", "by": "ann", "time_ns": DAY})
    assert not acting(journal)
    switches.record(journal, said(acting=True), LogPosition("", 0, 0))
    assert acting(journal)


def test_a_log_that_has_less_than_what_is_remembered_is_another_or_not_whole() -> None:
    found = SwitchReading()
    for offset in (3, 7, 5):
        found.note("test", 0, offset)
    assert switches.missing({("test", 0): 7}, found) == []
    assert switches.missing({("test", 0): 8, ("test", 1): 0, ("gone", 0): 2}, found) == [
        ("test", 0),
        ("test", 1),
        ("gone", 0),
    ]


def test_who_stopped_acting_is_told_for_each_scope_that_is_stopped(journal: MemoryJournal) -> None:
    assert switches.stopped(journal) == {}
    switches.record(journal, said(acting=False, scope="test"), LogPosition("", 0, 1))
    switches.record(journal, said(acting=True, scope="other"), LogPosition("", 0, 2))
    assert switches.stopped(journal) == {"test": "by ann"}
    switches.record(
        journal,
        Control(scope=EVERYWHERE, acting=False, autonomy=Autonomy.ACT, by="bo", time_ns=1, reason="fire"),
        LogPosition("", 0, 3),
    )
    assert switches.stopped(journal) == {EVERYWHERE: "by bo: fire", "test": "by ann"}


def test_what_was_armed_and_taken_back_by_an_earlier_release_says_nothing(journal: MemoryJournal) -> None:
    """It left an empty fact."""
    switches.record(journal, said(acting=True), LogPosition("", 0, 0))
    journal.put("armed/prod", {})
    assert acting(journal)
    switches.disarm(journal, "prod")
    assert journal.get("armed/prod") == {}, "there is nothing to take back"
    assert [(c.scope, c.acting) for c in switches.apply_armed(journal)] == [("*", True)]
    assert journal.get("armed/prod") is None
    assert switches.begun(journal)
    assert not switches.begun(MemoryJournal())
