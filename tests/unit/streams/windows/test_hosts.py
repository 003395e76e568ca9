"""Addresses that callers name: a service's, once its spans were joined with the calls, or outside, after a while."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from contracts.settings import IngestSettings
from streams.windows import hosts
from streams.windows.collect import Receipt
from streams.windows.edges import EdgeJoiner
from streams.windows.hosts import LEASED_NS, PATIENCE_NS, Hosts
from streams.windows.partials import PartialBuilder
from tests.unit.streams.windows.support import CLIENT, INTERNAL, MS, SECOND, SERVER, T0, Span, decoded

SETTINGS = IngestSettings()
BANK, CART = "external:api.bank.example", "external:cart"
STEP_NS = 500 * MS


class Shop:
    """A joiner of one partition that is sent a message each half second; calls per caller and callee, and failures."""

    def __init__(self) -> None:
        self.builder, self.joiner = PartialBuilder("otlp_spans/0", SETTINGS, 1), EdgeJoiner("prod", SETTINGS, 1)
        self.calls: Counter[tuple[str, str]] = Counter()
        self.failed: Counter[tuple[str, str]] = Counter()
        self.took_ns: Counter[tuple[str, str]] = Counter()
        self.n = 0

    def send(self, *spans: Span) -> None:
        self.n += 1
        now = T0 + self.n * STEP_NS
        message = decoded(list(spans))
        assert message.spans is not None
        named = np.array([p.startswith("external:") for p in message.strings], np.bool_)
        object.__setattr__(message.spans, "by_address", named[message.spans.peer])
        self.builder.add(message, Receipt(now, now), self.n)
        flushed = self.builder.flush()
        for _, _, frame in flushed.spans:
            self.joiner.add(frame, now)
        joined = self.joiner.flush("telemetry.spans/0", self.n, now)
        for _, _, frame in (*flushed.partials, *joined):
            if frame.signal == "edges":
                columns = frame.service, frame.peer, frame.count, frame.errors, frame.duration_ns
                for a, b, count, errors, took_ns in zip(*columns, strict=True):
                    pair = frame.services[a], frame.services[b]
                    self.calls[pair] += int(count)
                    self.failed[pair] += int(errors)
                    self.took_ns[pair] += int(took_ns)

    def call(self, host: str, *, answered_by: str = "", error: bool = False, after_ns: int = 0) -> list[Span]:
        """A call of web to a host, with the callee's span where there is one."""
        trace, at = 1000 + self.n, T0 + self.n * STEP_NS + after_ns
        spans = [Span("web", trace, 1, 0, CLIENT, at, at + 50 * MS, error, peer=host)]
        if answered_by:
            spans.append(Span(answered_by, trace, 2, 1, SERVER, at + MS, at + 49 * MS))
        return spans

    def run(self, seconds: float, host: str, *, answered_by: str = "", error: bool = False) -> None:
        for _ in range(int(seconds * SECOND // STEP_NS)):
            self.send(*self.call(host, answered_by=answered_by, error=error))


def test_who_is_never_heard_to_answer_is_outside_and_told_as_its_caller_sees_it() -> None:
    shop = Shop()
    shop.run(9, BANK)
    assert not shop.calls
    shop.run(5, BANK)
    assert shop.calls["web", BANK] > 0
    assert shop.took_ns["web", BANK] == 50 * MS * shop.calls["web", BANK]
    assert not shop.failed["web", BANK]
    shop.run(5, BANK, error=True)
    assert shop.failed["web", BANK] == 10


def test_a_services_address_is_never_outside_whatever_becomes_of_the_service() -> None:
    shop = Shop()
    shop.run(5, CART, answered_by="cart")
    shop.run(60, CART, error=True)
    assert set(shop.calls) == {("web", "cart")}


def test_an_answer_that_is_heard_late_ends_it() -> None:
    shop = Shop()
    shop.run(20, CART)
    told = shop.calls["web", CART]
    assert told
    shop.run(20, CART, answered_by="cart")
    assert shop.calls["web", CART] == told
    assert shop.calls["web", "cart"] == 40


def test_the_transport_of_a_call_is_no_call_of_its_own() -> None:
    shop = Shop()
    for _ in range(60):
        trace, at = 1000 + shop.n, T0 + shop.n * STEP_NS
        shop.send(
            Span("web", trace, 1, 0, CLIENT, at, at + 50 * MS, peer="messaging:aws_sqs/orders"),
            Span("web", trace, 2, 1, CLIENT, at + MS, at + 49 * MS, peer="external:sqs.eu-west-1.amazonaws.com"),
        )
    assert set(shop.calls) == {("web", "messaging:aws_sqs/orders")}


def test_one_address_does_not_change_what_another_is() -> None:
    shop = Shop()
    for _ in range(60):
        shop.send(*shop.call(CART, answered_by="cart"))
        shop.send(*shop.call(BANK))
    assert set(shop.calls) == {("web", "cart"), ("web", BANK)}


def test_a_snapshot_knows_who_answered_where() -> None:
    shop, other = Shop(), Shop()
    shop.run(5, CART, answered_by="cart")
    shop.run(12, BANK)
    other.joiner.restore(shop.joiner.snapshot())
    other.builder, other.n = shop.builder, shop.n
    other.run(12, CART)
    other.run(1, BANK)
    assert ("web", CART) not in other.calls
    assert other.calls["web", BANK] == 2


def test_a_numeric_address_is_somebody_elses_after_a_while_and_a_name_stays() -> None:
    hosts = Hosts()
    hosts.hear([(1, "external:10.0.0.7"), (2, "external:cart")], 0)
    sites = np.array([1, 2, 3], np.uint64)
    hosts.answered(sites, SECOND)
    assert not hosts.is_outside(sites, LEASED_NS).any()
    assert not hosts.is_outside(sites, LEASED_NS + 2 * SECOND).any()  # given back, and waited for like any other
    assert hosts.is_outside(sites, LEASED_NS + 3 * SECOND + PATIENCE_NS).tolist() == [True, False, False]


def test_whoever_else_works_for_a_call_answers_it_and_its_caller_does_not() -> None:
    """Spans within a call: of the caller itself, as of its client library, and of the callee, of whatever kind."""
    shop = Shop()
    for _ in range(40):
        for host, worker, kind in ((BANK, "web", INTERNAL), (CART, "cart", INTERNAL)):
            call = shop.call(host)[0]
            trace = call.trace + (host == CART) * 500_000
            inner = Span(worker, trace, 2, 1, kind, call.start + MS, call.end - MS)
            shop.send(Span("web", trace, 1, 0, CLIENT, call.start, call.end, peer=host), inner)
    assert set(shop.calls) == {("web", BANK), ("web", "cart")}


def test_of_too_many_answers_those_stay_whose_addresses_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "MOST_HOSTS", 2)

    def outside(answers: int) -> bool:
        """Of an address that was heard of after it was answered, and after others were."""
        known = Hosts()
        known.answered(np.arange(1, answers + 1, dtype=np.uint64), T0)
        known.hear([(1, BANK)], T0)
        return bool(known.is_outside(np.array([1], np.uint64), T0 + PATIENCE_NS)[0])

    assert [outside(n) for n in (1, 4, 5)] == [False, False, True]
