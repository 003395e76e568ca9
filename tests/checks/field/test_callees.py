"""Inputs from the field whose callees were read wrong: third parties without a name, queues of a cloud, generated queue names."""

from __future__ import annotations

import pytest

from connectors.otlp.decode import decode
from contracts.topics import OTLP_SPANS
from contracts.verdicts import CauseKind, DecisionVerdict
from tests.checks.field.inputs import lines_of
from tests.checks.field.runs import decided, incidents


@pytest.mark.parametrize(
    ("number", "peers"),
    [
        ("F19", ["external:api.payprovider.example"]),
        ("F27", ["messaging:aws_sqs/orders", "messaging:aws_sqs/mails", "messaging:aws_sqs/orders"]),
        ("F12", ["messaging:rabbitmq/amq.gen-*", "messaging:rabbitmq/amq.gen-*"]),
    ],
)
def test_peers_are_named(number: str, peers: list[str]) -> None:
    found = []
    for line in lines_of(number):
        read = decode(OTLP_SPANS, line)
        assert read.spans is not None
        found += [read.strings[i] for i in read.spans.peer]
    assert found == peers


def test_a_third_party_that_fails_is_blamed_and_who_calls_it_is_left_alone() -> None:
    first = incidents("F01")[0]
    assert first.candidates[0].service == "external:api.payprovider.example"
    assert first.candidates[0].kind is CauseKind.DEPENDENCY
    found = decided(first)
    assert found.verdict is DecisionVerdict.ASK or (
        found.chosen is not None and found.chosen.playbook.startswith("page-")
    ), "a person is told"
    assert all(o.held is not None for o in found.options if o.target and "restart" in o.playbook)
