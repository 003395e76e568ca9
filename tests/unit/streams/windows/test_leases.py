"""What a name of a cluster stands for at which time: from when until when, for how long it is believed and kept, and in whose mouth."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from contracts.frames import AddressFrame
from contracts.units import HOUR, MINUTE, SECOND
from streams.windows.addresses import Addresses, Lease

T0 = 1_700_000_000 * SECOND
Row = tuple[str, str, str, int]
"""Name, namespace, what it stands for, since which second."""


def told(
    *rows: Row, at: float = 0.0, part: int = 0, callers: Sequence[tuple[str, str]] = (), headless: bool = False
) -> AddressFrame:
    return AddressFrame(
        environment="prod",
        part=part,
        time_ns=T0 + round(at * SECOND),
        names=tuple(r[0] for r in rows),
        namespaces=tuple(r[1] for r in rows),
        stands_for=tuple(r[2] for r in rows),
        objects=tuple(f"service/{r[1]}/{r[0]}" for r in rows),
        from_ns=np.array([T0 + r[3] * SECOND for r in rows], np.int64),
        headless=np.full(len(rows), headless),
        callers=tuple(c[0] for c in callers),
        homes=tuple(c[1] for c in callers),
    )


def after(*frames: AddressFrame) -> Addresses:
    found = Addresses()
    for frame in frames:
        found.take(frame)
    return found


def meant(addresses: Addresses, host: str, at: float, caller: str = "web") -> str:
    return addresses.stands_for(caller, f"external:{host}", T0 + round(at * SECOND))


def test_a_lease_holds_from_its_beginning_until_just_before_its_end() -> None:
    lease = Lease("cart", "pod/shop/cart", 10, 20)
    assert [lease.holds(t) for t in (9, 10, 19, 20)] == [False, True, True, False]
    assert [lease._replace(to_ns=0).holds(t) for t in (9, 10, 1 << 62)] == [False, True, True]


def test_where_nothing_was_told_nothing_is_meant() -> None:
    addresses = Addresses()
    assert not addresses
    assert meant(addresses, "cart", 0) == ""
    addresses.take(told(("10.0.0.1", "", "cart", 0)))
    assert addresses
    assert meant(addresses, "10.0.0.1", 0) == "cart"
    assert addresses.stands_for("web", "cart", T0) == "", "a name of a service is no address"


@pytest.mark.parametrize(("after_s", "name"), [(0, "cart"), (20 * 60, "cart"), (20 * 60 + 0.001, "")])
def test_what_is_not_repeated_is_believed_for_twenty_minutes(after_s: float, name: str) -> None:
    assert meant(after(told(("10.0.0.1", "", "cart", -9))), "10.0.0.1", after_s) == name


def test_an_address_is_each_ones_in_its_time() -> None:
    rows = ("a", 0), ("b", 100), ("b", 150), ("c", 200)
    addresses = after(*(told(("10.0.0.1", "", name, since), at=since + 5) for name, since in rows))
    assert [meant(addresses, "10.0.0.1", t) for t in (-1, 0, 99, 100, 199, 200, 900)] == [
        "",
        "a",
        "a",
        "b",
        "b",
        "c",
        "c",
    ]
    better = after(
        told(("10.0.0.1", "", "a", 50)), told(("10.0.0.1", "", "a", 50), at=1), told(("10.0.0.1", "", "z", 50), at=2)
    )
    assert meant(better, "10.0.0.1", 60) == "z", "the same object under a name that is known better now"


def test_who_is_told_no_more_had_its_address_until_then() -> None:
    addresses = after(
        told(("10.0.0.1", "", "cart", 0), ("10.0.0.2", "", "web", 0)), told(("10.0.0.2", "", "web", 0), at=100)
    )
    assert [meant(addresses, "10.0.0.1", t) for t in (99, 100)] == ["cart", ""]
    assert [meant(addresses, "10.0.0.2", t) for t in (99, 100)] == ["web", "web"]
    addresses.take(told(("10.0.0.1", "", "cart", 150), at=160))
    assert [meant(addresses, "10.0.0.1", t) for t in (99, 120, 155)] == ["cart", "", "cart"]


@pytest.mark.parametrize(("at", "kept"), [(100 + HOUR // SECOND, True), (100.001 + HOUR // SECOND, False)])
def test_what_is_over_is_kept_for_an_hour(at: float, kept: bool) -> None:
    addresses = after(told(("10.0.0.1", "", "cart", 0)), told(at=100), told(at=at))
    assert bool(list(addresses.leases("10.0.0.1"))) is kept
    assert bool(addresses) is kept


def test_of_many_leases_the_latest_are_kept() -> None:
    addresses = after(*(told(("10.0.0.1", "", f"s{n}", n), at=n) for n in range(20)))
    assert [lease.stands_for for _, lease in addresses.leases("10.0.0.1")] == [f"s{n}" for n in range(12, 20)]
    longer = after(
        told(("10.0.0.1", "", "a", 0)),
        told(("10.0.0.1", "", "b", 10), at=10),
        told(("10.0.0.1", "", "c", 3611), at=3611),
    )
    assert [lease.stands_for for _, lease in longer.leases("10.0.0.1")] == ["b", "c"]


def test_an_older_word_is_ignored_and_each_part_speaks_of_its_own() -> None:
    addresses = after(told(("10.0.0.1", "", "cart", 0), at=10), told(("10.0.0.1", "", "old", 0), at=9))
    assert meant(addresses, "10.0.0.1", 11) == "cart"
    addresses.take(told(("10.0.0.2", "", "web", 0), at=5, part=1))
    assert [meant(addresses, f"10.0.0.{n}", 11) for n in (1, 2)] == ["cart", "web"]
    addresses.take(told(("10.0.0.1", "", "new", 0), at=10))
    assert meant(addresses, "10.0.0.1", 11) == "new", "told again at the same time"


HERE, THERE = ("cart", "shop", "cart", 0), ("cart", "other", "basket", 0)


def test_a_short_name_is_that_of_each_namespace_that_its_caller_runs_in() -> None:
    both = told(HERE, THERE, callers=[("web", "shop"), ("api", "other"), ("job", "shop"), ("job", "other")])
    addresses = after(both)
    assert [meant(addresses, "cart", 1, caller) for caller in ("web", "api", "job", "guest")] == [
        "cart",
        "basket",
        "",
        "",
    ]
    addresses.take(told(HERE, THERE, at=2, callers=[("api", "other")]))
    assert [meant(addresses, "cart", 3, caller) for caller in ("web", "api")] == ["", "basket"], (
        "nobody knows where it runs"
    )
    addresses.take(told(at=3, part=1, callers=[("web", "other")]))
    assert meant(addresses, "cart", 4) == "basket"
    addresses.take(told(HERE, THERE, at=5, callers=[("api", "shop")]))
    assert [meant(addresses, "cart", 6, caller) for caller in ("web", "api")] == ["basket", "cart"]


def test_all_that_a_name_stood_for_lately_is_listed_by_the_namespace_in_which_it_is_meant_so() -> None:
    addresses = after(told(HERE, THERE, ("10.0.0.1", "", "cart", 0)))
    assert [(home, lease.stands_for) for home, lease in addresses.leases("cart")] == [
        ("other", "basket"),
        ("shop", "cart"),
    ]
    assert [(home, lease.stands_for) for home, lease in addresses.leases("cart.shop")] == [("", "cart")]
    assert [(home, lease.stands_for) for home, lease in addresses.leases("10.0.0.1")] == [("", "cart")]
    assert list(addresses.leases("10.0.0.9")) == list(addresses.leases("nobody")) == []


@pytest.mark.parametrize("headless", [False, True])
def test_pods_by_name_are_of_headless_services_alone(headless: bool) -> None:
    addresses = after(told(("db", "shop", "db", 0), headless=headless))
    found = [
        meant(addresses, host, MINUTE // SECOND)
        for host in ("db.shop.svc", "db-0.db.shop.svc", "db-0.db", "db-0.db.shop")
    ]
    assert found == ["db", *(["db"] * 3 if headless else [""] * 3)]


def pods(*rows: tuple[str, str, str, float], at: float) -> AddressFrame:
    """Address, pod, service, since when."""
    frame = told(*((ip, "", service, 0) for ip, _, service, _ in rows), at=at)
    since = np.array([T0 + round(s * SECOND) for *_, s in rows], np.int64)
    return dataclasses.replace(frame, objects=tuple(f"pod/shop/{pod}" for _, pod, _, _ in rows), from_ns=since)


IP = "10.0.0.1"


def test_a_pod_that_waited_for_its_address_has_it_when_the_other_one_is_over() -> None:
    """Where a cluster does not say when pods were given their addresses, it says when they were scheduled."""
    seen = pods((IP, "a", "cart", 20), at=25), pods(at=80), pods((IP, "b", "pay", 10), at=90)
    assert [meant(after(*seen), IP, t) for t in (15, 50, 79, 80, 200)] == ["", "cart", "cart", "pay", "pay"]
    unseen = after(seen[0], seen[2])
    assert [meant(unseen, IP, t) for t in (50, 89, 90)] == ["cart", "cart", "pay"], "its end was not seen"
    again = after(*seen, pods((IP, "b", "pay", 10), at=100))
    assert [meant(again, IP, t) for t in (50, 95, 101)] == ["cart", "pay", "pay"]


def test_an_end_that_was_seen_late_is_when_the_next_began() -> None:
    addresses = after(pods((IP, "a", "cart", 0), at=5), pods(at=80), pods((IP, "b", "pay", 75), at=81))
    assert [meant(addresses, IP, t) for t in (74, 75, 79, 81)] == ["cart", "pay", "pay", "pay"]


def test_what_was_lost_sight_of_was_there_all_the_time() -> None:
    addresses = after(pods((IP, "a", "cart", 0), at=5), pods(at=50), pods((IP, "a", "cart", 0), at=60))
    assert [meant(addresses, IP, t) for t in (10, 55, 70)] == ["cart"] * 3
    other = after(pods((IP, "a", "cart", 0), at=5), pods(at=50), pods((IP, "b", "cart", 0), at=60))
    assert [meant(other, IP, t) for t in (10, 55, 70)] == ["cart"] * 3, "another pod of the same service"


@pytest.mark.parametrize("seed", range(20))
def test_at_no_time_an_address_is_two_services(seed: int) -> None:
    """Pods come and go, are scheduled long before they have an address or not, and are looked at now and then."""
    rng = random.Random(seed)
    addresses, at, owner = Addresses(), 0.0, ("a", "cart", 0.0)
    for n in range(40):
        at += rng.uniform(1, 20)
        if rng.random() < 0.5:
            owner = (f"p{n}", rng.choice(("cart", "pay", "blog")), at - rng.choice((0.0, 0.5, 30.0, 200.0)))
        addresses.take(pods(*([(IP, *owner)] if rng.random() < 0.8 else []), at=at))
        leases = [lease for _, lease in addresses.leases(IP)]
        assert all(a.from_ns <= a.to_ns <= b.from_ns for a, b in itertools.pairwise(leases))


def test_what_was_is_known_after_a_restart() -> None:
    addresses, again = after(told(("10.0.0.1", "", "a", 0), HERE, at=5, callers=[("web", "shop")])), Addresses()
    addresses.take(told(("10.0.0.1", "", "b", 50), ("10.0.0.2", "", "c", 50), HERE, at=51, callers=[("web", "shop")]))
    again.load(msgspec.msgpack.decode(msgspec.msgpack.encode(addresses.state())))
    assert [meant(again, "10.0.0.1", t) for t in (10, 60)] == ["a", "b"]
    assert meant(again, "cart", 60) == meant(addresses, "cart", 60) == "cart"
    again.take(told(("10.0.0.1", "", "z", 0), at=40))
    assert meant(again, "10.0.0.1", 60) == "b", "an older word"
    again.take(told(("10.0.0.1", "", "d", 90), at=100))
    assert [meant(again, "10.0.0.1", t) for t in (10, 60, 95)] == ["a", "b", "d"]
    assert [meant(again, "10.0.0.2", t) for t in (60, 99, 101)] == ["c", "c", ""], "it went meanwhile"
    assert meant(again, "cart", 101) == "", "so did the name"
