"""Addresses that callers name: a service's, once its spans were joined with the calls, or outside, after a while."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from contracts.settings import IngestSettings
from streams.windows import hosts
from streams.windows.collect import Receipt
from streams.windows.edges import EdgeJoiner
from streams.windows.hosts import ANSWERED_NS, LEASED_NS, PATIENCE_NS, Hosts
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


SITE = np.array([7], np.uint64)


@pytest.mark.parametrize(("text", "kept_ns"), [("external:10.0.0.7", LEASED_NS), ("external:cart", ANSWERED_NS)])
def test_an_answer_holds_up_to_its_time_and_then_its_address_is_waited_for_anew(text: str, kept_ns: int) -> None:
    known = Hosts()
    known.hear([(7, text)], T0)
    known.answered(SITE, T0)
    assert not known.is_outside(SITE, T0 + kept_ns)[0]
    assert known.state() == [[7, text, T0, T0]], "it holds yet"
    assert not known.is_outside(SITE, T0 + kept_ns + PATIENCE_NS)[0], "it is not outside because nobody looked"
    assert known.state() == [[7, text, T0 + kept_ns + PATIENCE_NS, 0]]
    assert not known.is_outside(SITE, T0 + kept_ns + 2 * PATIENCE_NS - 1)[0]
    assert not known.is_outside(SITE, T0 + kept_ns + 2 * PATIENCE_NS)[0], "looked at once a second"
    assert known.is_outside(SITE, T0 + kept_ns + 2 * PATIENCE_NS + SECOND)[0]


def test_addresses_are_looked_at_once_a_second_or_when_there_is_news() -> None:
    known = Hosts()
    known.hear([(7, BANK)], T0)
    assert not known.is_outside(SITE, T0 + PATIENCE_NS - 1)[0]
    assert not known.is_outside(SITE, T0 + PATIENCE_NS - 1 + SECOND - 1)[0], "it was looked at less than a second ago"
    assert known.is_outside(SITE, T0 + PATIENCE_NS - 1 + SECOND)[0]
    assert not known.is_outside(SITE, T0)[0], "the clock was set back"
    known.hear([(7, CART), (8, CART)], T0 + 1)
    assert known.text == {7: BANK, 8: CART}
    assert known.is_outside(SITE, T0 + PATIENCE_NS)[0], "another address is news"
    known.answered(SITE, T0 + PATIENCE_NS)
    assert not known.is_outside(SITE, T0 + PATIENCE_NS)[0], "so is an answer"
    again = Hosts()
    again.load([[7, BANK, T0, 0], [8, CART, T0, T0]])
    assert again.is_outside(np.array([7, 8, 9], np.uint64), T0 + PATIENCE_NS).tolist() == [True, False, False]


def test_who_answers_the_transport_answers_what_it_carries() -> None:
    known = Hosts()
    known.hear([(1, BANK), (2, CART), (3, "external:x")], T0)
    known.answered(np.array([1], np.uint64), T0)
    known.carried(np.array([1, 3], np.uint64), np.array([2, 7], np.uint64), T0 + 5)
    assert known.state() == [[1, BANK, T0, T0], [2, CART, T0, T0 + 5], [3, "external:x", T0, 0]]


def test_of_so_many_addresses_all_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "MOST_HOSTS", 2)
    known = Hosts()
    known.hear([(1, BANK), (2, CART)], T0)
    known.answered(np.array([2], np.uint64), T0)
    assert len(known.state()) == 2
    known.hear([(2, CART)], T0 + 1)
    assert len(known.state()) == 2, "it is known"
    known.hear([(3, "external:x"), (2, CART)], T0 + 2)
    assert known.state() == [[3, "external:x", T0 + 2, 0], [2, CART, T0 + 2, 0]]


def test_what_was_seen_ahead_of_the_clock_was_seen_now() -> None:
    known = Hosts()
    known.hear([(1, BANK), (2, CART)], T0 + 9)
    known.answered(np.array([2], np.uint64), T0 + 8)
    known.mend(T0)
    assert known.state() == [[1, BANK, T0, 0], [2, CART, T0, T0]]
    known.mend(T0 + 5)
    assert known.state() == [[1, BANK, T0, 0], [2, CART, T0, T0]]


def span_rows(*spans: tuple[int, int, int]) -> np.ndarray:
    """Service, trace and kind of each."""
    return np.array(list(spans), [("service", np.int32), ("trace", np.uint64), ("kind", np.int8)])


def test_a_span_within_a_client_span_of_its_service_and_trace_is_carried() -> None:
    parents = span_rows((1, 5, CLIENT), (1, 5, SERVER), (2, 5, CLIENT), (1, 6, CLIENT))
    children = span_rows(*[(1, 5, CLIENT)] * 4)
    assert hosts.is_carried(children, parents, (CLIENT,)).tolist() == [True, False, False, False]
    assert hosts.is_carried(children, parents, (CLIENT, SERVER)).tolist() == [True, True, False, False]
    assert hosts.is_carried(children[:1], parents[2:3], (CLIENT,)).tolist() == [False]


def test_news_is_looked_at_at_once_and_what_is_none_is_not() -> None:
    """An hour after it was last looked, and a moment later."""
    at = T0 + 3600 * SECOND
    known = Hosts()
    known.load([[7, BANK, T0, 0]])
    assert known.is_outside(SITE, at)[0]
    known.answered(np.array([9], np.uint64), at)
    known._first_ns[7] = at
    assert known.is_outside(SITE, at + 1)[0], "an answer of who is not named is none"
    known.hear([(8, CART)], at + 1)
    assert not known.is_outside(SITE, at + 2)[0]
    known._first_ns[7] = T0
    known.answered(np.array([8], np.uint64), at + 2)
    assert known.is_outside(SITE, at + 3)[0]
    known._first_ns[7] = at
    known.answered(np.array([8], np.uint64), at + 3)
    assert known.is_outside(SITE, at + 4)[0], "it was known to answer"
    known.load([[7, BANK, at, 0]])
    assert not known.is_outside(SITE, at + 5)[0]
