"""The audit chain: what was written verifies, and every way of tampering shows."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ChainBroken, UnreadableEvent
from contracts.events import ActionRecord, encode
from contracts.verdicts import RunState
from playbooks.audit import GENESIS, ChainHead, digest_of, from_cloudevent, headers_of, link, verify_chain
from playbooks.audit.cloudevents import rfc3339


def record(text: str = "restart cart", **data: str | float | bool | None) -> ActionRecord:
    return ActionRecord(
        id="",
        type="io.homeostat.run.running",
        environment="shop",
        sequence=0,
        time_ns=1_700_000_000_123_456_789,
        run="run-1",
        decision="d1",
        incident="i1",
        playbook="restart-service",
        playbook_version="1",
        target="cart",
        state=RunState.RUNNING,
        actor="homeostat",
        text=text,
        data=data,
    )


def chain(count: int) -> list[ActionRecord]:
    found: list[ActionRecord] = []
    head = GENESIS
    for n in range(count):
        found.append(link(record(f"step {n}"), head))
        head = ChainHead(found[-1].sequence, found[-1].digest)
    return found


def test_a_whole_chain_verifies_as_values_and_as_bytes() -> None:
    records = chain(5)
    for form in (records, [encode(r) for r in records]):
        report = verify_chain(form)
        assert report.intact
        assert (report.records, report.head) == (5, ChainHead(5, records[-1].digest))


def test_it_can_be_continued_from_a_known_head() -> None:
    records = chain(5)
    assert verify_chain(records[3:], ChainHead(3, records[2].digest)).intact


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        (lambda r: [*r[:2], msgspec.structs.replace(r[2], text="nothing happened"), *r[3:]], "was edited"),
        (lambda r: [*r[:2], *r[3:]], "records 3 to 3 are missing"),
        (lambda r: r[2:], "records 1 to 2 are missing"),
        (lambda r: [r[0], r[2], r[1], *r[3:]], "missing"),
        (lambda r: [*r[:2], link(record("forged"), ChainHead(2, r[1].digest)), *r[3:]], "was replaced"),
        (lambda r: [*r, link(record("forged"), ChainHead(2, r[1].digest))], "reordered or inserted"),
    ],
)
def test_tampering_shows(tamper, problem: str) -> None:  # type: ignore[no-untyped-def]
    report = verify_chain(tamper(chain(6)))
    assert any(problem in p for p in report.problems), report.problems
    with pytest.raises(ChainBroken):
        report.require()


def test_a_record_delivered_twice_is_no_tampering() -> None:
    records = chain(4)
    report = verify_chain([*records[:3], records[1], records[2], records[3]])
    assert report.intact
    assert report.duplicates == 2


def test_fields_of_a_later_version_are_covered_too() -> None:
    body = encode(chain(1)[0])
    later = body.replace(b'"actor":', b'"mood":"calm","actor":')
    assert digest_of(later) != digest_of(body)


@given(text=st.text(), value=st.one_of(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.none()))
def test_the_digest_of_the_bytes_is_that_of_the_value(text: str, value: str | float | None) -> None:
    linked = link(record(text, value=value), GENESIS)
    assert digest_of(encode(linked)) == digest_of(linked) == linked.digest


@given(position=st.integers(0, 10_000), replacement=st.binary(min_size=1, max_size=1))
def test_no_byte_can_be_changed_unnoticed(position: int, replacement: bytes) -> None:
    bodies = [encode(r) for r in chain(2)]
    position %= len(bodies[0])
    changed = bodies[0][:position] + replacement + bodies[0][position + 1 :]
    try:
        report = verify_chain([changed, bodies[1]])
    except UnreadableEvent:
        return
    assert report.intact is (changed == bodies[0])


def test_it_is_a_cloudevent_in_binary_mode() -> None:
    linked = chain(1)[0]
    headers = dict(headers_of(linked))
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_id"] == b"shop/1"
    assert headers["ce_source"] == b"/homeostat/shop"
    assert headers["ce_type"] == b"io.homeostat.run.running"
    assert headers["ce_subject"] == b"cart"
    assert headers["ce_time"] == b"2023-11-14T22:13:20.123456789Z"
    assert headers["content-type"] == b"application/json"
    assert json.loads(encode(linked))["digest"] == headers["ce_digest"].decode()
    assert from_cloudevent(headers_of(linked), encode(linked)) == linked


@pytest.mark.parametrize("name", ["ce_specversion", "ce_id", "ce_type", "ce_digest"])
def test_headers_that_contradict_the_body_are_refused(name: str) -> None:
    linked = chain(1)[0]
    headers = tuple((k, b"x" if k == name else v) for k, v in headers_of(linked))
    with pytest.raises(UnreadableEvent):
        from_cloudevent(headers, encode(linked))


def test_times_before_and_after_the_epoch() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000000000Z"
    assert rfc3339(-1) == "1969-12-31T23:59:59.999999999Z"
