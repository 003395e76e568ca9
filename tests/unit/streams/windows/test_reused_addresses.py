"""Addresses that are given to others within minutes: each call is its owner's who had the address when it was made.

Told by a cluster through the stages up to features, with rolling updates, nodes that go, late spans and restarts in between; and learnt
from calls that were answered, where nobody else tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from contracts.frames import Decoded, pack
from contracts.topics import ADDRESSES, OTLP_SPANS
from contracts.units import SECOND
from streams.windows.calls import ASKED, BLAMED
from streams.windows.edges import EdgeJoiner
from streams.windows.hosts import LEASED_NS
from tests.unit.connectors.otlp.builders import traces
from tests.unit.streams.windows.support import MS, T0, Span, decoded
from tests.unit.streams.windows.test_callees import CLIENT, SERVER, Row, Shop, told
from tests.unit.streams.windows.test_calls import SETTINGS, Half, call

IP = "10.0.0.8"
Timed = dict[str, set[int]]


class Town(Shop):
    """A shop whose spans may come late; calls by callee and second."""

    def seconds(self) -> Timed:
        """By callee, the seconds since the beginning in which it was called."""
        found: Timed = {}
        for (peer, window_ns), (calls, _) in sorted(self.rows.items()):
            if calls:
                found.setdefault(peer, set()).add((window_ns - T0) // SECOND)
        return found

    def send(self, at_ns: int, host: str, *, by: str = "", code: int = 0, took_ns: int = 20 * MS) -> None:
        """One call that ended at a time, whenever that is sent."""
        self.number += 1
        ids = {"trace_id": self.number.to_bytes(16, "big"), "span_id": self.number.to_bytes(8, "big")}
        times = {"start_time_unix_nano": at_ns - took_ns, "end_time_unix_nano": at_ns}
        span = {**ids, **times, "kind": CLIENT, "attributes": {"server.address": host}, "code": code}
        sent = traces({"service.name": "web"}, span)
        if by:
            own = {"span_id": (self.number + (1 << 40)).to_bytes(8, "big"), "parent_span_id": ids["span_id"]}
            served = traces({"service.name": by}, {**ids, **own, **times, "kind": SERVER})
            sent.resource_spans.extend(served.resource_spans)
        self.pipeline.feed(OTLP_SPANS, sent.SerializeToString(), self.now)

    def restart(self, name: str) -> None:
        """Another instance goes on from the snapshot of a stage; of what was told it is told what stands."""
        (old,) = (i for i in self.pipeline.host.instances.values() if i.spec.name == name)
        stage: Any = old.spec.make("", 0)
        stage.restore(old.stage.snapshot())
        old.stage = stage
        self.pipeline.host._brief(old, self.now)

    def elapsed(self) -> int:
        return (self.now - T0) // SECOND


def only(seconds: Timed, callee: str, begin: float, end: float) -> bool:
    """Whether calls of these seconds are all of one callee."""
    return all(peer == callee or not any(begin <= s < end for s in found) for peer, found in seconds.items())


@pytest.mark.parametrize("restarted", ["", "edges", "features"])
def test_an_address_of_a_service_is_given_to_one_that_sends_no_spans(restarted: str) -> None:
    """A rolling update: a pod of cart goes, and its address is redis' at once."""
    town = Town()
    town.tell((IP, "", "cart", T0))
    town.call(30, IP, by="cart")
    handed = town.elapsed()
    town.tell((IP, "", "redis", town.now))
    if restarted:
        town.restart(restarted)
    town.call(40, IP)
    town.passes(10)
    seconds = town.seconds()
    assert only(seconds, "cart", 0, handed)
    assert only(seconds, "redis", handed, 999)
    assert len(seconds["redis"]) >= 25, "after ten seconds in which nobody answered, not after ten minutes"
    assert LEASED_NS == 600 * SECOND


def test_an_address_of_who_sends_no_spans_is_given_to_a_service() -> None:
    town = Town()
    town.tell((IP, "", "redis", T0))
    town.call(30, IP)
    handed, then = town.elapsed(), town.now
    town.tell((IP, "", "cart", town.now))
    town.call(20, IP, by="cart")
    for at in range(10):
        town.send(then - (at + 1) * SECOND, IP)
    town.passes(10)
    seconds = town.seconds()
    assert only(seconds, "redis", 0, handed - 1)
    assert only(seconds, "cart", handed + 1, 999)
    assert town.calls()["redis"] >= 90 + 9, "late ones, too"


@pytest.mark.parametrize("restarted", ["", "features", "edges"])
def test_late_spans_are_of_whom_the_address_was_when_they_were(restarted: str) -> None:
    town = Town()
    town.tell((IP, "", "redis", T0))
    town.call(30, IP)
    handed_ns = town.now
    town.tell((IP, "", "memcached", handed_ns))
    town.call(15, IP)
    if restarted:
        town.restart(restarted)
    for at in range(20):
        town.send(handed_ns - SECOND - at * SECOND // 2, IP, code=2)
    town.call(5, IP)
    town.passes(10)
    assert town.calls()["redis"] == 100 + 20
    assert town.calls(failed=True) == {"redis": 20}


def test_late_spans_of_an_address_that_nobody_has_any_more() -> None:
    """A node goes with all its pods, and whoever merges is restarted."""
    town = Town()
    town.tell((IP, "", "redis", T0), ("10.0.0.9", "", "memcached", T0))
    town.call(15, IP)
    town.restart("features")
    gone_ns = town.now
    town.tell(("10.0.0.9", "", "memcached", T0))
    town.passes(5)
    town.restart("features")
    for at in range(5):
        town.send(gone_ns - SECOND - at * SECOND, IP)
    town.send(gone_ns + 4 * SECOND, IP)
    town.passes(10)
    assert set(town.calls()) == {"redis", f"external:{IP}"}
    assert town.seconds()[f"external:{IP}"] == {19}


def test_who_waits_in_vain_waited_for_whom_the_address_was_when_it_called() -> None:
    """A pod hangs and is replaced; half a minute later its callers give up, on an address that is somebody else's."""
    town = Town()
    town.tell((IP, "", "redis", T0))
    town.call(20, IP)
    handed_ns = town.now
    town.tell((IP, "", "memcached", handed_ns))
    town.passes(25)
    for at in range(5):
        town.send(handed_ns + (20 + at) * SECOND, IP, code=2, took_ns=30 * SECOND)
        town.passes(0.2)
    town.call(5, IP)
    town.passes(10)
    assert town.calls(failed=True) == {"redis": 5}
    assert town.calls()["memcached"] == 25


def test_what_a_cluster_of_another_environment_or_an_older_word_says_changes_nothing() -> None:
    town = Town()
    town.tell((IP, "", "cart", T0))
    town.call(20, IP, by="cart")
    town.pipeline.feed(
        ADDRESSES,
        pack(told([(IP, "", "redis", town.now)], town.now, environment="staging")),
        town.now,
        key=b"staging/0",
    )
    town.tell((IP, "", "cart", T0))
    town.call(40, IP, code=2)
    town.passes(10)
    assert set(town.calls()) == {"cart"}, "cart hangs: nothing is told of redis, nor that somebody outside is called"


def test_a_pod_of_the_same_service_may_have_its_address() -> None:
    town = Town()
    town.tell((IP, "", "cart", T0))
    town.call(20, IP, by="cart")
    town.tell((IP, "", "cart", town.now))
    town.call(40, IP, code=2)
    town.passes(10)
    assert set(town.calls()) == {"cart"}


def test_the_same_short_name_in_two_namespaces_changes_hands_in_one() -> None:
    def rows(here: str, since_ns: int) -> list[Row]:
        return [("cache", "shop", here, since_ns), ("cache", "other", "basket", T0)]

    town = Town()
    town.tell(*rows("redis", T0))
    town.call(15, "cache")
    handed = town.elapsed()
    town.tell(*rows("memcached", town.now))
    town.call(15, "cache")
    town.call(15, "cache.other")
    town.passes(10)
    seconds = town.seconds()
    assert set(seconds) == {"redis", "memcached", "basket"}
    assert max(seconds["redis"]) < handed <= min(seconds["memcached"])


# --- learnt from calls that were answered

PEER = f"external:{IP}"


def asked(half: Half, *, callee: str, role: int = ASKED) -> tuple[int, int]:
    return half.said.get(("web", callee, role), (0, 0))


def answered(half: Half, callee: str, calls: int, begin: int, *, by: str = "web") -> int:
    """Calls, two a second; when the last has ended."""
    for n in range(calls):
        half.send(*call(by, callee, begin + n * SECOND // 2, peer=PEER))
    return begin + calls * SECOND // 2


def in_vain(half: Half, begin: int, calls: int = 6, *, by: str = "web") -> None:
    for n in range(calls):
        half.send(call(by, "nobody", begin + n * SECOND // 2, error=True, peer=PEER)[0])


class Numbered(Half):
    """Its peers are known by their address alone, and spans come as soon as they have ended."""

    newest_ns = T0

    def now_ns(self, spans: Sequence[Span]) -> int:
        self.newest_ns = max(self.newest_ns, *(span.end for span in spans))
        return self.newest_ns

    def message(self, spans: Sequence[Span]) -> Decoded:
        message = decoded(list(spans))
        assert message.spans is not None
        named = np.array([p.startswith("external:") for p in message.strings], np.bool_)
        object.__setattr__(message.spans, "by_address", named[message.spans.peer])
        return message


def test_three_answers_of_another_service_and_calls_in_vain_are_no_longer_the_former_owners() -> None:
    half = Numbered()
    end = answered(half, "cart", 20, T0)
    end = answered(half, "pay", 3, end)
    before = asked(half, callee="cart")
    in_vain(half, end)
    assert asked(half, callee="cart") == before
    assert asked(half, callee="pay") == (2 + 6, 6)
    assert asked(half, callee="pay", role=BLAMED)[0] == 0


def test_of_requests_that_failed_with_it_the_new_owner_is_blamed() -> None:
    half = Numbered()
    end = answered(half, "cart", 20, T0)
    end = answered(half, "pay", 5, end)
    for n in range(5):
        client, _ = call("web", "nobody", end + n * SECOND, error=True, peer=PEER)
        half.send(client, Span("web", client.trace, 1, 0, 2, client.start - MS, client.end + MS, True))
    half.send(*call("web", "pay", end + 9 * SECOND, peer=PEER))
    assert asked(half, callee="pay", role=BLAMED) == (5000, 0)
    assert asked(half, callee="cart", role=BLAMED) == (0, 0)


def test_late_calls_in_vain_are_the_former_owners() -> None:
    half = Numbered()
    end = answered(half, "cart", 20, T0)
    answered(half, "pay", 10, end + 10 * SECOND)
    in_vain(half, end)
    assert asked(half, callee="cart")[1] == 6
    assert asked(half, callee="pay")[1] == 0


def test_what_one_caller_learns_holds_for_the_others() -> None:
    half = Numbered()
    end = answered(half, "cart", 20, T0)
    answered(half, "cart", 2, T0 + SECOND, by="api")
    end = answered(half, "pay", 5, end)
    in_vain(half, end, by="api")
    assert half.said["api", "cart", ASKED] == (1, 0)


def test_a_new_owner_that_takes_its_time_is_not_taken_for_one_that_hangs() -> None:
    """A cache's address is a report's now: what took a millisecond takes a second."""
    half = Numbered()
    end = answered(half, "cart", 30, T0)
    for n in range(30):
        client, server = call("web", "report", end + n * SECOND, peer=PEER)
        slow = [
            Span(s.service, s.trace, s.span, s.parent, s.kind, s.start, s.end + SECOND, peer=s.peer)
            for s in (client, server)
        ]
        half.send(*slow)
    count, failed = asked(half, callee="report")
    assert count >= 28
    assert failed <= 4


def test_a_snapshot_in_between_forgets_nothing_of_it() -> None:
    half = Numbered()
    end = answered(half, "cart", 20, T0)
    end = answered(half, "pay", 2, end)
    twin = EdgeJoiner("prod", SETTINGS, 2)
    twin.restore(half.joiner.snapshot())
    half.joiner = twin
    end = answered(half, "pay", 1, end)
    before = asked(half, callee="cart")
    twin = EdgeJoiner("prod", SETTINGS, 2)
    twin.restore(half.joiner.snapshot())
    half.joiner = twin
    in_vain(half, end)
    assert asked(half, callee="cart") == before
    assert asked(half, callee="pay") == (2 + 6, 6)


def test_where_several_answer_all_are_asked() -> None:
    """An ingress by its number: whoever of them hangs is known by it."""
    half = Numbered()
    end = T0
    for n in range(40):
        end = answered(half, ("cart", "pay")[n % 2], 1, end)
    in_vain(half, end)
    assert asked(half, callee="cart")[1] == asked(half, callee="pay")[1] == 6
