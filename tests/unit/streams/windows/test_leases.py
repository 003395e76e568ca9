"""What a name of a cluster stands for at which time: from when until when, for how long it is believed and kept, and in whose mouth."""

from __future__ import annotations

from collections.abc import Sequence

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
