"""Audit records as CloudEvents 1.0 in Kafka's binary content mode: attributes in `ce_*` headers, the record as body.

Source: CloudEvents 1.0.2 specification, and its Kafka protocol binding (section 3.2, binary content mode).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from contracts.errors import UnreadableEvent
from contracts.events import ActionRecord, decode
from contracts.units import SECOND

SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/json"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def headers_of(record: ActionRecord) -> tuple[tuple[str, bytes], ...]:
    """The Kafka headers of a record, in a fixed order."""
    pairs = (
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", record.id),
        ("ce_source", f"/homeostat/{record.environment}"),
        ("ce_type", record.type),
        ("ce_subject", record.target),
        ("ce_time", rfc3339(record.time_ns)),
        ("ce_sequence", str(record.sequence)),
        ("ce_digest", record.digest),
        ("content-type", CONTENT_TYPE),
    )
    return tuple((name, value.encode()) for name, value in pairs)


def from_cloudevent(headers: Iterable[tuple[str, bytes]], body: bytes) -> ActionRecord:
    """The record in a Kafka message.

    Raises:
        UnreadableEvent: another CloudEvents version, a body that is no record, or headers that contradict it.
    """
    found = {name: value.decode("utf-8", "replace") for name, value in headers}
    if found.get("ce_specversion") != SPEC_VERSION:
        raise UnreadableEvent(f"not a CloudEvents {SPEC_VERSION} message: {found.get('ce_specversion')!r}")
    record = decode(ActionRecord, body)
    for name, value in headers_of(record):
        if found.get(name) != value.decode():
            raise UnreadableEvent(f"header {name} is {found.get(name)!r} but the record says {value.decode()!r}")
    return record


def rfc3339(time_ns: int) -> str:
    """Epoch nanoseconds as RFC 3339 in UTC with nanoseconds."""
    seconds, fraction = divmod(time_ns, SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
