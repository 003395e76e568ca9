"""Whose a numeric address is at which time, by who answers there, in whatever order that is heard of, and by a cluster's word."""

from __future__ import annotations

import random
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from contracts.units import HOUR, MINUTE, SECOND
from streams.windows import tenures
from streams.windows.tenures import ALONE_NS, BACK_NS, SKEW_NS, Tenures, is_numeric

T0 = 1_700_000_000 * SECOND
SITE, OTHER = 7, 8
CART, PAY, BLOG = 1, 2, 3
Call = tuple[int, float]
"""Who answered, and when it began, in seconds."""


class Desk:
    """What is told of one address, and asked of it. Event time is as far as the calls have come."""

    def __init__(self) -> None:
        self.known = Tenures()
        self.known.hear([SITE])
        self.newest = T0

    def joined(self, *calls: Call, site: int = SITE) -> None:
        """One flush."""
        begun = np.array([T0 + round(at * SECOND) for _, at in calls], np.int64)
        self.newest = max(self.newest, int(begun.max()))
        owners = np.array([owner for owner, _ in calls], np.int64)
        self.known.joined(np.full(len(calls), site, np.uint64), owners, begun, self.newest)

    def handed(self, owner: int, at: float) -> None:
        self.known.handed(SITE, owner, T0 + round(at * SECOND), self.newest)

    def of(self, at: float, *, known: bool = True) -> set[int]:
        """Who may have answered a call of this time."""
        some = np.array([CART, PAY, BLOG], np.int64)
        site, when = np.full(3, SITE, np.uint64), np.full(3, T0 + round(at * SECOND), np.int64)
        return set(some[self.known.holds(site, some, when, known=known)].tolist())

    def hands(self) -> int:
        return int(self.known.hands(np.array([SITE], np.uint64))[0])


ANYBODY = {CART, PAY, BLOG}
"""Of whom nothing is known, nothing is said."""


def some(owner: int, begin: float, end: float, step: float = 0.5) -> list[Call]:
    return [(owner, at) for at in np.arange(begin, end, step).tolist()]


def test_where_one_answers_nothing_is_ruled_out() -> None:
    desk = Desk()
    desk.joined(*some(CART, 0, 60))
    assert desk.of(-5) == desk.of(30) == desk.of(900) == ANYBODY
    assert desk.hands() == 0


@pytest.mark.parametrize("together", [True, False])
def test_three_calls_in_a_row_that_another_answers_are_a_change_of_hands(together: bool) -> None:
    desk = Desk()
    desk.joined(*some(CART, 0, 60))
    later = [(PAY, 61.0), (PAY, 61.5), (PAY, 62.0)]
    for call in later[:2]:
        desk.joined(call)
    assert desk.of(70) == ANYBODY
    desk.joined(*(later if together else later[2:]))
    assert desk.of(60.9) == {CART, BLOG}
    assert desk.of(61) == desk.of(900) == {PAY, BLOG}
    assert desk.hands() == 1


def test_late_calls_change_nothing() -> None:
    desk = Desk()
    desk.joined(*some(CART, 0, 40))
    desk.joined(*some(PAY, 61, 70))
    desk.joined((CART, 50), (CART, 59))
    desk.joined(*some(PAY, 70, 80))
    assert desk.of(60) == {CART, BLOG}
    assert desk.of(61) == {PAY, BLOG}
    assert desk.hands() == 1


def test_an_address_may_come_back_to_whom_it_was() -> None:
    desk = Desk()
    for begin, owner in ((0, CART), (100, PAY), (300, CART), (500, BLOG)):
        desk.joined(*some(owner, begin, begin + 60))
    assert [desk.of(at) - {BLOG} for at in (50, 120, 320)] == [{CART}, {PAY}, {CART}]
    assert desk.of(520) == {BLOG}
    assert desk.hands() == 3


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_flushes_and_of_calls_within_them_tells_the_same(seed: int) -> None:
    rng = random.Random(seed)
    calls = [*some(CART, 0, 30), *some(PAY, 40, 70), *some(BLOG, 75, 100)]
    late = [call for call in calls if rng.random() < 0.2]
    desk = Desk()
    soon = [call for call in calls if call not in late]
    for begin in range(0, len(soon), 5):
        batch = soon[begin : begin + 5]
        rng.shuffle(batch)
        desk.joined(*batch)
    for call in rng.sample(late, len(late)):
        desk.joined(call)
    assert [desk.of(at) for at in (10, 29, 41, 69, 76, 200)] == [{CART}, {CART}, {PAY}, {PAY}, {BLOG}, {BLOG}]


@pytest.mark.parametrize("rare_s", [0.7, 20.0])
def test_where_several_answer_all_of_them_may(rare_s: float) -> None:
    """A gateway that one callee is rarely called by."""
    desk = Desk()
    calls = sorted([*some(CART, 0, 300, 0.5), *some(PAY, 0.2, 300, rare_s)], key=lambda call: call[1])
    for batch in (calls[i : i + 3] for i in range(0, len(calls), 3)):
        desk.joined(*batch)
    desk.joined(*some(CART, 300, 330))
    assert desk.of(325) == ANYBODY
    assert desk.hands() == 0


def test_who_joins_a_gateway_does_not_take_it_over_for_long() -> None:
    desk = Desk()
    desk.joined(*some(CART, 0, 60, 10))
    desk.joined(*some(PAY, 51, 59, 0.5))
    assert desk.of(59) == {PAY, BLOG}
    desk.joined((CART, 60))
    assert desk.of(59) == ANYBODY
    desk.joined(*some(PAY, 60, 69, 0.5))
    assert desk.of(69) == ANYBODY, "it is known that several answer there"


def test_whoever_is_left_alone_has_it_for_himself() -> None:
    desk = Desk()
    for at in range(0, 200, 2):
        desk.joined((CART, at), (PAY, at + 1))
    end = 199 + ALONE_NS / SECOND
    desk.joined((CART, end - 1))
    assert desk.of(end) == ANYBODY
    desk.joined((CART, end + 1))
    assert desk.of(end) == {CART, BLOG}
    assert desk.of(150) == ANYBODY


@pytest.mark.parametrize(("ahead_s", "tells"), [(4.0, True), (6.0, False)])
def test_callers_clocks_may_differ_by_a_little(ahead_s: float, tells: bool) -> None:
    """The last call to the one seems to be later than the first to the next."""
    assert 4 < SKEW_NS / SECOND < 6
    desk = Desk()
    desk.joined(*some(CART, 0, 60), (CART, 60 + ahead_s))
    desk.joined(*some(PAY, 60.5, 80))
    assert (desk.of(79) == {PAY, BLOG}) is tells


@pytest.mark.parametrize(("after", "back"), [(BACK_NS / SECOND - 1, True), (BACK_NS / SECOND + 1, False)])
def test_who_is_back_soon_was_never_away(after: float, back: bool) -> None:
    desk = Desk()
    desk.joined(*some(CART, 0, 30))
    desk.joined(*some(PAY, 40, 45))
    assert desk.of(45) == {PAY, BLOG}
    desk.joined((CART, 40 + after))
    assert (desk.of(45) == ANYBODY) is back


def test_a_cluster_tells_of_it_at_once_and_of_those_who_send_no_spans() -> None:
    desk = Desk()
    desk.joined(*some(CART, 0, 60))
    desk.handed(-1, 70)
    assert desk.of(69) == ANYBODY
    assert desk.of(70) == {PAY, BLOG}
    assert desk.hands() == 1
    desk.handed(-1, 70)
    desk.handed(CART, 65)
    assert desk.hands() == 1, "it is told again, and of earlier"
    desk.joined(*some(CART, 75, 77))
    assert desk.of(76) == ANYBODY, "it was given back, or is called otherwise by the cluster"
    assert desk.of(71) == {PAY, BLOG}


def test_whom_a_cluster_names_keeps_it() -> None:
    desk = Desk()
    desk.joined(*some(CART, 0, 60))
    desk.handed(CART, 70)
    assert desk.of(75) == ANYBODY
    desk.handed(PAY, 30)
    assert desk.of(75) == ANYBODY, "it was answered since"


def test_what_was_counted_before_the_change_was_known_can_be_taken_back() -> None:
    desk = Desk()
    desk.joined(*some(CART, 0, 60))
    desk.newest = T0 + 90 * SECOND
    desk.joined(*some(PAY, 61, 63))
    assert CART in desk.of(89, known=False)
    assert CART not in desk.of(91, known=False)
    assert CART not in desk.of(89)


def test_other_sites_and_names_are_left_alone() -> None:
    desk = Desk()
    desk.joined(*some(CART, 0, 60), site=OTHER)
    desk.joined(*some(PAY, 61, 90), site=OTHER)
    assert desk.known.of(OTHER) == []
    assert desk.of(90) == ANYBODY
    assert desk.known.last_ns(OTHER) == 0


def test_a_snapshot_goes_on() -> None:
    desk, again = Desk(), Desk()
    desk.joined(*some(CART, 0, 60))
    desk.joined((PAY, 61), (PAY, 62))
    again.known.load(msgspec.msgpack.decode(msgspec.msgpack.encode(desk.known.state())), [])
    again.joined((PAY, 63))
    assert again.of(60) == {CART, BLOG}
    assert again.of(63) == {PAY, BLOG}
    third = Desk()
    third.known.load(again.known.state(), [SITE])
    assert (third.of(60), third.of(63), third.hands()) == ({CART, BLOG}, {PAY, BLOG}, 1)
    assert third.known.state() == again.known.state()


def test_whose_number_is_given_to_another_is_forgotten() -> None:
    desk = Desk()
    desk.joined(*some(CART, 0, 60))
    desk.joined(*some(PAY, 61, 70))
    desk.known.forget([CART])
    assert desk.of(90) == {CART, PAY, BLOG}
    assert [t.owner for t in desk.known.of(SITE)] == [PAY]


def test_what_is_over_is_kept_for_an_hour_and_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    for n, owner in enumerate((CART, PAY, BLOG, CART)):
        desk.joined(*some(owner, n * 2000, n * 2000 + 60))
    spans = [(t.owner, t.from_ns, t.to_ns) for t in desk.known.of(SITE)]
    assert [owner for owner, *_ in spans] == [PAY, BLOG, CART]
    assert all(a[2] == b[1] for a, b in pairwise(spans))
    assert HOUR == 3600 * SECOND
    assert MINUTE < HOUR
    monkeypatch.setattr(tenures, "MOST_SITES", 2)
    desk.known.hear([1, 2])
    assert desk.known.of(SITE) == []
    assert desk.of(900) == ANYBODY


@pytest.mark.parametrize(
    ("peer", "number"),
    [
        *(("external:10.0.0.7", True), ("external:fd00::a1", True), ("external:2001:db8::1", True)),
        *(("external:cart", False), ("external:db-7.shop", False), ("external:aws_s3", False)),
    ],
)
def test_numbers_are_told_from_names(peer: str, number: bool) -> None:
    assert is_numeric(peer) is number
