"""Whose telemetry is told to be lost: one finding for the largest scope that explains it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contracts.frames import FeatureFrame, PartialFrame, Presence, empty_columns
from contracts.units import SECOND
from contracts.verdicts import AnomalyKind, AnomalyPhase, ServiceState
from streams.windows import losses as losses_module
from streams.windows.losses import Losses, Pulse
from streams.windows.state import dump, load

T0 = 1_700_000_000 * SECOND
PLACES = {"cart": "n1", "web": "n1", "pay": "n2", "mail": "n3"}


def heard(*services: str, first: bool = False) -> PartialFrame:
    placed = tuple(f"{s}\t{n}" for s, n in PLACES.items()) if first else ()
    blank = {"versions": (), "attributes": (), "template_text": (), **empty_columns()}
    nodes = tuple(sorted({PLACES[s] for s in services}))
    return PartialFrame("prod", "spans", "otlp/0", 1, T0, (), **blank, heard=nodes, placed=placed)


def rows(second: int, missing: set[str]) -> FeatureFrame:
    names = tuple(PLACES)
    presence = np.array([Presence.MISSING if s in missing else Presence.OBSERVED for s in names], np.int8)
    blank = {"peers": (), "versions": ("",) * 4, "attributes": ("",) * 4, "features": (), "notes": ()}
    values = {"values": np.zeros((4, 0)), "counts": np.zeros(4, np.int64)}
    return FeatureFrame(
        "prod", "spans", 0, T0 + second * SECOND, SECOND, 0, names, **blank, **values, presence=presence
    )


def story(lost: set[str], begin: int, end: int, until: int, again: bool = False) -> list[tuple[int, str, str]]:
    """(second, phase, scope) of what is told where telemetry of some services is lost for a time."""
    losses, told = Losses("prod", lambda _: True), []
    for second in range(until):
        now = T0 + second * SECOND
        gone = lost if begin <= second < end else set()
        if set(PLACES) - gone:
            losses.hear(heard(*(set(PLACES) - gone), first=second == 0), now)
        losses.see(rows(second, gone))
        told += [(second, a) for a in losses.look(now)]
        if again:
            twin = Losses("prod", lambda _: True)
            twin.load(load("x", 1, dump("x", 1, losses.state())))
            assert twin.state() == losses.state()
            losses = twin
    assert all((a.kind, a.state) == (AnomalyKind.TELEMETRY, ServiceState.STALE) for _, a in told)
    assert {a.id for _, a in told if a.phase is AnomalyPhase.OPENED} >= {a.id for _, a in told}
    return [(second, a.phase.value, a.service) for second, a in told]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    ("lost", "scope"),
    [({"pay"}, "pay"), ({"cart"}, "cart"), ({"cart", "web"}, "node:n1"), (set(PLACES), "*")],
)
def test_a_loss_is_told_once_for_what_it_is_of(lost: set[str], scope: str, again: bool) -> None:
    told = story(lost, 20, 60, 90, again)
    assert [(phase, what) for _, phase, what in told] == [("opened", scope), ("closed", scope)]
    assert 29 <= told[0][0] <= 36
    assert 60 <= told[1][0] <= 62


def test_what_is_missing_for_a_moment_is_not_told() -> None:
    assert story({"pay"}, 20, 28, 60) == []
    assert story(set(PLACES), 20, 28, 60) == []


def test_pauses_that_come_again_and_again_are_no_loss() -> None:
    """An environment with one sender that batches for half a minute."""
    losses, told = Losses("prod", lambda _: True), []
    for second in range(400):
        now = T0 + second * SECOND
        if second % 30 == 0:
            losses.hear(heard(*PLACES, first=second == 0), now)
        told += [a for a in losses.look(now) if second > 100]
    assert [a for a in told if a.phase is AnomalyPhase.OPENED] == []


def test_each_scope_is_told_by_one_partition() -> None:
    told = []
    for partition in range(4):
        losses = Losses("prod", lambda scope, p=partition: (not scope.startswith("node:")) or p == 2)
        losses.hear(heard(*PLACES, first=True), T0)
        for second in range(40):
            losses.hear(dataclasses.replace(heard("pay", "mail"), sequence=second), T0 + second * SECOND)
            told += [(partition, a.service) for a in losses.look(T0 + second * SECOND)]
    assert told == [(2, "node:n1")]


def beats(pulse: Pulse, until: int, losses: tuple[tuple[int, int], ...] = (), every: int = 1) -> list[int]:
    """Seconds at which a pulse was found silent, of a sender that is heard every few seconds but not during losses."""
    silent = []
    for second in range(until):
        now = T0 + second * SECOND
        if second % every == 0 and not any(a <= second < b for a, b in losses):
            pulse.beat(now)
        if pulse.silent(now):
            silent.append(second)
    return silent


@pytest.mark.parametrize("lasts", [30, 120, 1200])
def test_losses_that_come_again_are_no_habit(lasts: int):
    hour = 3600
    losses = tuple((n * hour, n * hour + lasts) for n in range(1, 8))
    silent = beats(Pulse(), 8 * hour, losses)
    for begin, end in losses:
        assert 10 <= min(s for s in silent if s >= begin) - begin <= 12
        assert begin < max(s for s in silent if s < end) < end


@pytest.mark.parametrize("period", [5, 20, 60, 120])
def test_a_sender_with_a_period_is_known_after_a_few_and_its_loss_is_told(period: int):
    lost = (40 * period, 80 * period)
    silent = beats(Pulse(), 100 * period, (lost,), period)
    assert [s for s in silent if 4 * period <= s < lost[0]] == []
    assert min(s for s in silent if s >= lost[0]) <= lost[0] + 2 * period + 12
    assert [s for s in silent if s > lost[1] + period] == []


def test_of_so_many_nodes_it_is_known_whether_they_are_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses_module, "_MOST_NODES", 1)
    losses = Losses("prod", lambda _: True)
    for second in range(60):
        losses.hear(heard("cart", "pay", first=second == 0), T0 + second * SECOND)
    state = losses.state()
    assert {node: pulse["heard_ns"] for node, pulse in state["nodes"].items()} == {"n1": T0 + 59 * SECOND}
    assert losses.look(T0 + 60 * SECOND) == []


@pytest.mark.parametrize(
    ("ends", "later_s", "habit_s"),
    [
        ((100, 115, 130), 0, 10),
        ((100, 130, 150), 0, 10),  # from the beginning of the first to the end of the third six times their length
        ((100, 130, 151), 0, 0),
        ((100, 200, 300), 0, 0),
        ((100, 115), 0, 0),
        ((20, 100, 115, 130), 0, 10),
        ((100, 115, 130), 4, 10),  # a shorter pause then changes nothing
    ],
)
def test_three_pauses_close_together_are_a_habit(ends: tuple[int, ...], later_s: int, habit_s: int) -> None:
    pulse = Pulse()
    pauses = {second for end in ends for second in range(end - 9, end)}
    last = ends[-1]
    for second in range(last + 1):
        if second not in pauses:
            pulse.beat(T0 + second * SECOND)
    if later_s:
        pulse.beat(T0 + (last + later_s) * SECOND)
    assert pulse.usual_ns == habit_s * SECOND
    limit_ns = pulse.heard_ns + 10 * SECOND + 3 * habit_s * SECOND // 2
    assert [pulse.silent(limit_ns), pulse.silent(limit_ns + 1), Pulse().silent(limit_ns)] == [False, True, False]


def test_a_habit_that_was_not_seen_for_a_day_is_over_and_none_is_longer_than_five_minutes() -> None:
    pulse, now = Pulse(), T0
    for pause in (400, 400, 400):
        now += pause * SECOND
        pulse.beat(now)
    assert pulse.usual_ns == 0, "the first beat began nothing"
    pulse.beat(now + 400 * SECOND)
    assert pulse.usual_ns == 300 * SECOND
    confirmed = now + 400 * SECOND
    for after_s, usual_s in ((86_400, 300), (86_402, 0)):
        one = Pulse(confirmed, list(pulse.pauses_ns), pulse.usual_ns, confirmed)
        one.heard_ns = confirmed + (after_s - 2) * SECOND
        one.beat(confirmed + after_s * SECOND)
        assert one.usual_ns == usual_s * SECOND


@pytest.mark.parametrize(
    ("count", "named"), [(2, "s0, s1"), (5, "s0, s1, s2, s3, s4"), (6, "s0, s1, s2, s3, s4 and 1 more")]
)
def test_up_to_five_services_of_a_node_are_named(count: int, named: str) -> None:
    losses, told = Losses("prod", lambda _: True), []
    placed = (*(f"s{n}\tn1" for n in range(count)), "web\tn2")
    losses.hear(dataclasses.replace(heard(), heard=("n1", "n2"), placed=placed), T0)
    for second in range(1, 20):
        losses.hear(dataclasses.replace(heard(), heard=("n2",)), T0 + second * SECOND)
        told += losses.look(T0 + second * SECOND)
    assert [(a.service, a.text.rpartition("nothing is known of ")[2]) for a in told] == [("node:n1", named)]


@pytest.mark.parametrize(
    ("pauses", "habit_s"),
    [
        ((3, 3, 10), 3),  # one long pause among short ones: as long as it there is one
        ((3, 10, 3, 10, 10), 10),
        ((10, 10, 3), 0),
        ((10, 10, 9), 9),
        ((2, 2, 2), 2),
        ((1, 1, 1), 0),  # of a second there is none
    ],
)
def test_a_pause_counts_with_those_that_are_as_long(pauses: tuple[int, ...], habit_s: int) -> None:
    pulse, now = Pulse(), T0
    pulse.beat(now)
    for pause in pauses:
        now += pause * SECOND
        pulse.beat(now)
    assert pulse.usual_ns == habit_s * SECOND


def test_twelve_pauses_are_remembered_and_one_that_is_told_late_is_none() -> None:
    pulse = Pulse()
    for n in range(20):
        pulse.beat(T0 + 5 * n * SECOND)
    assert pulse.pauses_ns == [(T0 + 5 * n * SECOND, 5 * SECOND) for n in range(8, 20)]
    pulse.beat(T0)
    assert (pulse.heard_ns, len(pulse.pauses_ns)) == (T0 + 95 * SECOND, 12)


def test_it_is_over_when_its_telemetry_comes_again() -> None:
    """What opens is told at the time of the rows; what is over, too, and its words say so."""
    losses = Losses("prod", lambda _: True)
    losses.hear(heard(*PLACES, first=True), T0)
    told = []
    for second in range(40):
        losses.hear(heard(*PLACES), T0 + second * SECOND)
        losses.see(rows(second, {"pay"} if 10 <= second < 30 else set()))
        told += losses.look(T0 + second * SECOND)
    opened, closed = told
    assert (opened.onset_ns, opened.time_ns) == (T0 + 10 * SECOND, T0 + 25 * SECOND)
    assert (
        opened.text
        == "no telemetry of pay comes any more, and nothing shows that it fails: whether it serves is not known"
    )
    assert (closed.phase, closed.onset_ns, closed.time_ns) == (AnomalyPhase.CLOSED, T0 + 10 * SECOND, T0 + 31 * SECOND)
    assert (closed.id, closed.text, losses.state()["open"]) == (opened.id, "its telemetry comes again", {})


@pytest.mark.parametrize(("after", "told"), [(14, []), (15, ["pay"])])
def test_a_service_alone_is_told_of_after_fifteen_seconds(after: int, told: list[str]) -> None:
    losses = Losses("prod", lambda _: True)
    losses.see(rows(0, {"pay"}))
    losses.see(rows(after - 1, {"pay"}))
    assert [a.service for a in losses.look(T0)] == told


def test_corrections_and_rows_of_which_all_came_say_nothing_of_a_loss() -> None:
    losses = Losses("prod", lambda _: True)
    losses.see(dataclasses.replace(rows(5, {"pay"}), revision=1))
    assert (losses.state()["lost"], losses.state()["time"]) == ({}, T0 + 6 * SECOND)
    losses.see(rows(6, {"pay", "web"}))
    losses.see(rows(4, {"pay"}))
    assert (losses.state()["lost"], losses.state()["time"]) == ({"pay": T0 + 6 * SECOND}, T0 + 7 * SECOND)
    losses.see(dataclasses.replace(rows(7, set()), presence=np.empty(0, np.int8)))
    assert losses.state()["lost"] == {}


def test_a_service_of_several_nodes_is_hidden_if_all_of_them_are_silent() -> None:
    losses, told = Losses("prod", lambda _: True), []
    placed = ("cart\tn1", "cart\tn2", "web\tn1", "pay\tn1", "mail\tn2", "cart\tn1")
    losses.hear(dataclasses.replace(heard(), heard=("n1", "n2", "n3"), placed=placed), T0)
    for second in range(1, 20):
        losses.hear(dataclasses.replace(heard(), heard=("n2", "n3") if second < 4 else ("n3",)), T0 + second * SECOND)
        told += [(second, a.service, a.text.rpartition(" of ")[2]) for a in losses.look(T0 + second * SECOND)]
    assert told == [(13, "node:n1", "pay, web"), (16, "node:n2", "cart, mail")]
    assert losses.state()["places"]["cart"] == ["n1", "n2"]


def test_the_latest_sixteen_nodes_of_a_service_are_known() -> None:
    losses = Losses("prod", lambda _: True)
    losses.hear(dataclasses.replace(heard(), placed=tuple(f"cart\tn{n}" for n in range(20))), T0)
    assert losses.state()["places"]["cart"] == [f"n{n}" for n in range(4, 20)]


@pytest.mark.parametrize(("signal", "silent"), [("spans", False), ("logs", False), ("metrics", False), ("edges", True)])
def test_what_senders_send_says_that_something_comes(signal: str, silent: bool) -> None:
    losses = Losses("prod", lambda _: True)
    losses.hear(dataclasses.replace(heard("cart"), signal=signal), T0)
    assert losses.state()["all"]["heard_ns"] == (0 if silent else T0)
    for after_ns, told in ((10 * SECOND, False), (10 * SECOND + 1, not silent)):
        assert [a.service for a in losses.look(T0 + after_ns)] == ["*"] * told


@pytest.mark.parametrize(("more_ns", "told"), [(0, []), (1, ["node:n1"])])
def test_a_node_is_waited_for_two_seconds_longer(more_ns: int, told: list[str]) -> None:
    losses = Losses("prod", lambda _: True)
    placed = ("cart\tn1", "web\tn1")
    losses.hear(dataclasses.replace(heard(), heard=("n1", "n2"), placed=placed), T0)
    now = T0 + 12 * SECOND + more_ns
    losses.hear(dataclasses.replace(heard(), heard=("n2",)), now)
    assert [a.service for a in losses.look(now)] == told


def test_everything_is_told_with_the_earliest_that_was_missed_and_what_was_open_goes_on() -> None:
    losses = Losses("prod", lambda _: True)
    losses.hear(heard("cart", first=True), T0)
    for second in range(16):
        losses.see(rows(second, {"pay"} if second else set()))
        losses.hear(heard("cart"), T0 + second * SECOND)
    assert [(a.service, a.onset_ns) for a in losses.look(T0 + 15 * SECOND)] == [("pay", T0 + SECOND)]
    told = losses.look(T0 + 26 * SECOND)
    assert [(a.service, a.phase, a.onset_ns) for a in told] == [("*", AnomalyPhase.OPENED, T0 + SECOND)]
    assert told[0].text.startswith("no telemetry of anything comes any more")
    assert losses.look(T0 + 27 * SECOND) == []
    assert sorted(losses.state()["open"]) == ["*", "pay"]
    assert losses.state()["wide"] == ["*"]


@pytest.mark.parametrize(("later_s", "confirmed"), [(60, True), (61, False)])
def test_a_habit_is_confirmed_by_pauses_as_long_of_late(later_s: int, confirmed: bool) -> None:
    """Up to six times its length after the last of them."""
    pulse, now = Pulse(), T0
    for pause in (0, 10, 10, 10):
        now += pause * SECOND
        pulse.beat(now)
    assert (pulse.usual_ns, pulse.confirmed_ns) == (10 * SECOND, now)
    for second in range(1, later_s - 2):
        pulse.beat(now + second * SECOND)
    pulse.beat(now + later_s * SECOND)
    assert (pulse.usual_ns, pulse.confirmed_ns) == (10 * SECOND, now + later_s * SECOND if confirmed else now)


def test_of_who_never_told_of_a_node_or_a_service_nothing_is_lost() -> None:
    losses = Losses("prod", lambda _: True)
    losses.hear(dataclasses.replace(heard(), signal="logs"), T0)
    assert losses.look(T0 + 3600 * SECOND) == []
    losses.see(rows(0, {"pay"}))
    losses.see(rows(20, {"pay"}))
    losses.hear(heard(), T0 + 3600 * SECOND)
    assert [(a.service, a.phase) for a in losses.look(T0 + 3600 * SECOND)] == [("pay", AnomalyPhase.OPENED)]
    losses.see(rows(21, set()))
    assert [(a.service, a.phase) for a in losses.look(T0 + 3601 * SECOND)] == [("pay", AnomalyPhase.CLOSED)]
    assert losses.look(T0 + 3602 * SECOND) == []


def test_what_comes_again_one_by_one_after_everything_was_lost_is_no_loss_of_its_own() -> None:
    """But what was lost before that is lost yet, and what stays away for long enough then is lost by itself."""
    losses, told = Losses("prod", lambda _: True), []
    for second in range(70):
        now = T0 + second * SECOND
        away = 20 <= second < 40
        if not away:
            losses.hear(heard("cart", "web", "pay", first=second == 0), now)
        losses.see(
            rows(second, set(PLACES) if away else {"cart", "pay"} if second >= 40 else {"pay"} if second else set())
        )
        told += [(second, a.service, a.phase.value) for a in losses.look(now)]
    assert told == [
        (15, "pay", "opened"),
        (30, "*", "opened"),
        (40, "*", "closed"),
        (55, "cart", "opened"),
    ]
