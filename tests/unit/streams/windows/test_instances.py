"""What a cluster says of instances: since when it was so, for how long it is believed, and of how many services."""

from __future__ import annotations

import pytest

from contracts.frames import InstanceState
from contracts.units import SECOND as S
from streams.windows.instances import BELIEVED_NS, InstanceReports, instance_frames

T0 = 1_700_000_000 * S
READY, GONE, UNSURE = InstanceState.READY, InstanceState.GONE, InstanceState.UNSURE


def at(second: float) -> int:
    return T0 + round(second * S)


def take(reports: InstanceReports, second: float, **states: InstanceState) -> int:
    found = instance_frames("prod", "kubernetes", states, at(second), 1)
    return sum(reports.take(frame) for _, frame in found)


def after(*told: tuple[float, InstanceState]) -> InstanceReports:
    reports = InstanceReports(10)
    for second, state in told:
        take(reports, second, cart=state)
    return reports


@pytest.mark.parametrize(
    ("told", "state", "end", "since"),
    [
        ([(0, READY)], READY, 1, 0),
        ([(0, READY)], GONE, 1, None),
        ([(0, READY), (5, READY), (10, READY)], READY, 11, 0),
        ([(0, READY), (5, GONE), (10, READY)], READY, 11, 10),
        ([(0, READY), (12, READY)], READY, 13, 0),  # two repetitions may be lost
        ([(0, READY), (12.5, READY)], READY, 13, 12.5),
        ([(0, READY)], READY, 12, 0),
        ([(0, READY)], READY, 12.5, None),  # nobody says so any more
        ([(5, READY)], READY, 5, None),  # it was so after that
        ([(5, READY)], READY, 5.001, 5),
    ],
)
def test_a_state_holds_since_it_was_first_told_while_it_is_repeated(
    told: list[tuple[float, InstanceState]], state: InstanceState, end: float, since: float | None
) -> None:
    found = after(*told).since_ns("cart", state, at(end))
    assert found == (None if since is None else at(since))
    assert after(*told).since_ns("web", state, at(end)) is None
    assert BELIEVED_NS == 12 * S


def test_a_report_that_comes_again_says_nothing() -> None:
    reports = after((5, READY))
    for late in (5, 4):
        assert take(reports, late, cart=GONE) == 0
    assert reports.since_ns("cart", READY, at(6)) == at(5)


def test_of_so_many_services_it_is_known_and_who_is_told_of_no_more_makes_room() -> None:
    reports = InstanceReports(2)
    assert take(reports, 0, cart=READY, web=READY, shop=READY, bank=READY) == 2
    known = [name for name in ("bank", "cart", "shop", "web") if reports.since_ns(name, READY, at(1))]
    assert known == ["bank", "cart"]
    assert take(reports, 10, cart=READY, web=READY) == 1, "what was told ten seconds ago is believed"
    assert take(reports, 13, cart=READY, web=GONE) == 0
    assert [reports.since_ns(name, READY, at(14)) for name in ("bank", "cart")] == [None, at(0)]
    assert reports.since_ns("web", GONE, at(14)) == at(13)


def test_a_snapshot_keeps_it_and_a_state_of_a_later_release_says_nothing() -> None:
    reports, again = after((0, READY), (5, READY)), after((90, GONE))
    again.load(reports.state())
    assert again.state() == reports.state()
    assert again.since_ns("cart", READY, at(6)) == at(0)
    assert take(again, 5, cart=GONE) == 0
    sequences, told = reports.state()
    again.load([sequences, [[name, 99, since, last] for name, _, since, last in told]])
    assert again.since_ns("cart", UNSURE, at(6)) == at(0)


def test_each_partition_hears_of_its_services() -> None:
    states = {f"s{n}": READY if n % 2 else GONE for n in range(40)}
    frames = dict(instance_frames("prod", "kubernetes", states, T0, 4))
    assert sorted(frames) == [0, 1, 2, 3]
    told = {s: InstanceState(r) for f in frames.values() for s, r in zip(f.services, f.role.tolist(), strict=True)}
    assert told == states
    assert all(f.window_ns.tolist() == [T0] * len(f.services) == [T0] * len(f.versions) for f in frames.values())
