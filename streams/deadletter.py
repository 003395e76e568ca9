"""What cannot be read is kept whole, with its reason and where it came from."""

from __future__ import annotations

from contracts.errors import HomeostatError
from contracts.events import DeadLetter, encode
from contracts.ports import Record
from contracts.topics import DEADLETTER
from streams.stage import Emit


def dead_letter(record: Record, error: Exception, now_ns: int) -> Emit:
    """The message for telemetry.deadletter. An error that is not ours has the reason `internal_error`."""
    reason = error.reason if isinstance(error, HomeostatError) else "internal_error"
    letter = DeadLetter(
        source_topic=record.topic,
        source_partition=record.partition,
        source_offset=record.offset,
        reason=reason,
        detail=f"{type(error).__name__}: {error}"[:2000],
        payload=record.value,
        key=record.key,
        time_ns=now_ns,
    )
    return Emit(DEADLETTER, record.topic, encode(letter))
