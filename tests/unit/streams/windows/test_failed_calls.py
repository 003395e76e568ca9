"""Of requests that failed, those in which a call failed, too: whatever the order, however often a call was tried, and whoever was called."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from contracts.features import ASIDE, BLAMED, Signal
from contracts.settings import IngestSettings
from streams.windows.calls import BLAMED as ROLE
from streams.windows.calls import CALLS
from streams.windows.collect import Receipt
from streams.windows.edges import EdgeJoiner
from streams.windows.liveness import Liveness
from streams.windows.partials import PartialBuilder
from streams.windows.rows import UNIT
from tests.unit.streams.windows.support import CLIENT, INTERNAL, MS, SERVER, T0, Span, decoded

SETTINGS = IngestSettings()
_ids = itertools.count(2, 2)


class Trace:
    """Spans of one request, by hand; ids of its own."""

    def __init__(self, at: int = T0) -> None:
        self.trace, self.at, self.spans = next(_ids), at, []

    def span(
        self, service: str, kind: int, parent: int = 1, *, error: bool = False, peer: str = "", took: int = 20 * MS
    ) -> int:
        number = next(_ids)
        name = peer or service
        self.spans.append(
            Span(service, self.trace, number, parent, kind, self.at, self.at + took, error, peer=peer, name=name)
        )
        return number

    def call(self, caller: str, within: int, callee: str, *, error: bool = False, answered: bool = True) -> None:
        client = self.span(caller, CLIENT, within, error=error, peer=callee, took=10 * MS)
        if answered:
            self.span(callee, SERVER, client, error=error, took=9 * MS)


class Joined:
    """Spans sent message by message; requests by caller and callee, of whoever is said to have failed with a call."""

    def __init__(self) -> None:
        self.builder, self.joiner, self.n = (
            PartialBuilder("otlp_spans/0", SETTINGS, 1),
            EdgeJoiner("prod", SETTINGS, 1),
            0,
        )
        self.blamed: Counter[tuple[str, str]] = Counter()
        self.frames = []

    def send(self, *spans: Span) -> None:
        self.n += 1
        now = T0 + self.n * 100 * MS
        self.builder.add(decoded(list(spans)), Receipt(now, now), self.n)
        for _, _, frame in self.builder.flush().spans:
            self.joiner.add(frame, now)
        for _, _, frame in self.joiner.flush("telemetry.spans/0", self.n, now):
            if frame.signal != CALLS:
                continue
            self.frames.append(frame)
            rows = zip(frame.service, frame.peer, frame.role, frame.count, strict=True)
            for caller, callee, role, count in rows:
                if role == ROLE:
                    self.blamed[frame.services[caller], frame.services[callee]] += int(count) / UNIT

    def again(self) -> Joined:
        """As after a restart from a snapshot."""
        state, self.joiner = self.joiner.snapshot(), EdgeJoiner("prod", SETTINGS, 1)
        self.joiner.restore(state)
        return self


def handed_on(*, deep: bool = False, tries: int = 1, **call: bool) -> list[Span]:
    """A request of web that fails, because a call to cart does."""
    trace = Trace()
    request = trace.span("web", SERVER, error=True)
    within = trace.span("web", INTERNAL, request) if deep else request
    for _ in range(tries):
        trace.call("web", within, "cart", error=True, **call)
    return trace.spans


def warmed() -> Joined:
    """A joiner that has seen calls of web to cart that went well."""
    joined, trace = Joined(), Trace()
    trace.call("web", trace.span("web", SERVER), "cart")
    joined.send(*trace.spans)
    assert not joined.blamed
    return joined


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("tries", [1, 3])
def test_a_request_counts_once_for_whom_its_calls_failed_at(deep: bool, tries: int) -> None:
    joined = Joined()
    joined.send(*handed_on(deep=deep, tries=tries))
    assert joined.blamed == {("web", "cart"): 1}


def test_what_a_service_fails_at_by_itself_is_nobody_elses() -> None:
    joined, trace = Joined(), Trace()
    trace.call("web", trace.span("web", SERVER, error=True), "cart")
    joined.send(*trace.spans)
    assert not joined.blamed


def test_a_call_that_is_made_again_and_succeeds_explains_nothing() -> None:
    joined, trace = Joined(), Trace()
    request = trace.span("web", SERVER)
    trace.call("web", request, "cart", error=True)
    trace.call("web", request, "cart")
    joined.send(*trace.spans)
    assert not joined.blamed


def test_a_failure_is_handed_on_from_service_to_service() -> None:
    joined, trace = Joined(), Trace()
    web = trace.span("web", SERVER, error=True)
    client = trace.span("web", CLIENT, web, error=True, peer="cart")
    trace.call("cart", trace.span("cart", SERVER, client, error=True), "stock", error=True)
    joined.send(*trace.spans)
    assert joined.blamed == {("web", "cart"): 1, ("cart", "stock"): 1}


@pytest.mark.parametrize("seed", range(8))
def test_in_whatever_order_and_messages_they_come(seed: int) -> None:
    requests = [handed_on(deep=i % 2 == 0, tries=1 + i % 3, answered=i % 4 != 0) for i in range(8)]
    rng, joined = random.Random(seed), warmed()
    spans = [s for request in requests for s in request]
    rng.shuffle(spans)
    for i in range(0, len(spans), 5):
        joined.send(*spans[i : i + 5])
        if rng.random() < 0.3:
            joined.again()
    assert joined.blamed == {("web", "cart"): len(requests)}


def test_calls_that_nobody_answers_lead_to_who_answered_them_before() -> None:
    joined = warmed()
    joined.send(*handed_on(answered=False))
    assert joined.blamed == {("web", "cart"): 1}


def test_who_sends_no_spans_is_known_by_the_name_that_callers_give_it() -> None:
    joined, trace = Joined(), Trace()
    request = trace.span("web", SERVER, error=True)
    trace.span("web", CLIENT, request, error=True, peer="db:postgresql/orders")
    joined.send(*trace.spans)
    assert joined.blamed == {("web", "db:postgresql/orders"): 1}


def test_a_caller_without_client_spans_fails_with_what_it_asked() -> None:
    joined, trace = Joined(), Trace()
    trace.span("cart", SERVER, trace.span("web", SERVER, error=True), error=True)
    joined.send(*trace.spans)
    assert joined.blamed == {("web", "cart"): 1}


def test_a_job_that_is_nothing_but_a_call_fails_with_it() -> None:
    joined, trace = Joined(), Trace()
    trace.span("job", CLIENT, 0, error=True, peer="pay")
    joined.send(*trace.spans)
    assert joined.blamed == {("job", "pay"): 1}


def test_where_a_call_leads_to_several_nobody_is_blamed_at_random() -> None:
    joined = Joined()
    for callee in ("cart", "pay"):
        trace = Trace()
        client = trace.span("web", CLIENT, trace.span("web", SERVER), peer="mesh")
        trace.span(callee, SERVER, client)
        joined.send(*trace.spans)
    trace = Trace()
    trace.span("web", CLIENT, trace.span("web", SERVER, error=True), error=True, peer="mesh")
    joined.send(*trace.spans)
    assert not joined.blamed
    trace = Trace()
    client = trace.span("web", CLIENT, trace.span("web", SERVER, error=True), error=True, peer="mesh")
    trace.span("pay", SERVER, client, error=True)
    joined.send(*trace.spans)
    assert joined.blamed == {("web", "pay"): 1}


def test_what_is_said_stands_beside_the_calls_of_the_window_in_which_the_request_ended() -> None:
    joined, width_ns = Joined(), SETTINGS.window_ms * MS
    for _ in range(3):
        joined.send(*handed_on())
    liveness = Liveness(width_ns, SETTINGS.max_delay_s * 1000 * MS, 100, {})
    for frame in joined.frames:
        liveness.add(frame, 0)
    column = ASIDE[Signal.EDGES].index(BLAMED)
    said = liveness.asked([("web", "cart"), ("cart", "web")], T0 // width_ns)
    assert said[:, column].tolist() == [3, 0]


def test_whom_calls_were_seen_to_reach_counts_and_not_what_callers_call_it() -> None:
    joined, trace = Joined(), Trace()
    client = trace.span("web", CLIENT, trace.span("web", SERVER), peer="external:basket")
    trace.span("cart", SERVER, client)
    joined.send(*trace.spans)
    for _ in range(2):
        trace = Trace()
        trace.span("web", CLIENT, trace.span("web", SERVER, error=True), error=True, peer="external:basket")
        trace.span("web", CLIENT, trace.span("web", SERVER, error=True), error=True, peer="external:bank")
        joined.again().send(*trace.spans)
    assert joined.blamed == {("web", "cart"): 2, ("web", "external:bank"): 2}
