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
