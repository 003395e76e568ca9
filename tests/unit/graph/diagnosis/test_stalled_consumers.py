"""A consumer that takes no more messages hangs, though its producers are answered by the queue, fail nothing and wait for nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.features import LATENCY_P95
from contracts.verdicts import CauseKind
from graph.evidence.messages import stalled
from graph.evidence.situation import Edge, Node, Situation
from tests.unit.graph.diagnosis.test_whose_doing import call, level, node, ranked, situation

QUEUE = "messaging:rabbitmq/orders"


def told(
    *, sent: float = 200.0, taken: float = 0.0, serves: float = 0.0, in_part: bool = False
) -> tuple[Situation, tuple]:
    """Orders send to a queue, and bill to a card network; confirmations take what is sent."""
    nodes = (
        node("orders"),
        node("confirmations", rate=serves),
        node("billing"),
        Node(QUEUE, "messaging", own=False),
    )
    joined = replace(call("orders", "confirmations"), observed=taken, attempted=float("nan"), in_part=in_part)
    calls = (replace(call("orders", QUEUE), observed=sent, attempted=sent), joined, call("orders", "billing"))
    return situation(*nodes, calls=calls), (nodes, calls)


def test_who_takes_no_more_messages_hangs() -> None:
    at, (nodes, calls) = told()
    (found,) = stalled(at)
    assert (found.service, found.kind, found.peer) == ("confirmations", CauseKind.HANG, "orders")
    assert "0 of about 200 messages" in found.text
    leader = next(iter(ranked(*nodes, calls=calls).values()))
    assert (leader.service, leader.kind) == ("confirmations", CauseKind.HANG)
    assert leader.probability > 0.9


@pytest.mark.parametrize(
    "how",
    [
        {"sent": 0.0},  # nothing is sent any more: it is asked for nothing
        {"taken": 190.0, "serves": 20.0},
        {"serves": 20.0},  # it takes those of others
        {"in_part": True},  # a sampler may have left them out
    ],
)
def test_who_is_sent_nothing_or_takes_what_it_is_sent_is_well(how: dict) -> None:
    at, _ = told(**how)
    assert list(stalled(at)) == []


def counted(*, taken: float = 12.0, waits: bool = False) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    """Orders tell by their own spans which messages they send to confirmations, and no queue is seen in between."""
    late = (level(LATENCY_P95, 0.1, 2.0),) if waits else ()
    sent = replace(call("orders", "confirmations"), observed=taken, attempted=200.0)
    return (node("orders", *late), node("confirmations", rate=taken / 10)), (sent,)


def test_who_takes_no_more_messages_that_its_producer_counts_hangs() -> None:
    nodes, calls = counted()
    (found,) = stalled(situation(*nodes, calls=calls))
    assert (found.service, found.kind, found.peer) == ("confirmations", CauseKind.HANG, "orders")
    leader = next(iter(ranked(*nodes, calls=calls).values()))
    assert (leader.service, leader.kind) == ("confirmations", CauseKind.HANG)


@pytest.mark.parametrize("how", [{"taken": 190.0}, {"waits": True}])
def test_whose_calls_are_waited_for_takes_no_messages(how: dict) -> None:
    nodes, calls = counted(**how)
    assert list(stalled(situation(*nodes, calls=calls))) == []
