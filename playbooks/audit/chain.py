"""The hash chain over audit records: one per environment, sequence from 1, each record naming the digest before it.

The canonical bytes of a record are its JSON as published with the value of `digest`, its last field, emptied. So a
reader in any language verifies the bytes it got, without having to write JSON the way Homeostat does, and records with
fields that this version doesn't know verify too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from contracts.errors import ChainBroken, UnreadableEvent
from contracts.events import ActionRecord, decode, encode

_DIGEST_HEX = 64
_TAIL = b'"digest":"'


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last record of a chain: what the next one continues."""

    sequence: int
    digest: str


GENESIS = ChainHead(0, "")
"""What the first record of an environment continues."""


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What checking a chain found. `problems` are for people, in order; an intact chain has none.

    `duplicates` are records delivered again unchanged, which is allowed. A chain cut off at its end can't be told from
    a shorter one by itself: compare `head` with the environment's head known from elsewhere.
    """

    environment: str
    records: int
    duplicates: int
    head: ChainHead
    problems: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing was edited, removed, inserted or reordered."""
        return not self.problems

    def require(self) -> None:
        """Raises ChainBroken with the first problem unless the chain is intact."""
        if self.problems:
            raise ChainBroken(f"audit trail of {self.environment!r}: {self.problems[0]}")


def digest_of(record: ActionRecord | bytes) -> str:
    """SHA-256 (hex) over the canonical bytes of a record, given as value or as the published JSON.

    Raises:
        UnreadableEvent: bytes that don't end in a `digest` field.
    """
    if isinstance(record, ActionRecord):
        return hashlib.sha256(encode(msgspec.structs.replace(record, digest=""))).hexdigest()
    start = record.rfind(_TAIL) + len(_TAIL)
    if start < len(_TAIL) or record[start + _DIGEST_HEX :] not in {b'"}', b'"}\n'}:
        raise UnreadableEvent("not an audit record: it does not end in its digest")
    return hashlib.sha256(record[:start] + b'"}').hexdigest()


def link(record: ActionRecord, head: ChainHead) -> ActionRecord:
    """`record` as the next one after `head`: with its sequence, id, previous digest and own digest."""
    sequence = head.sequence + 1
    linked = msgspec.structs.replace(
        record,
        id=f"{record.environment}/{sequence}",
        sequence=sequence,
        previous=head.digest,
        digest="",
    )
    return msgspec.structs.replace(linked, digest=digest_of(linked))


def verify_chain(records: Iterable[ActionRecord | bytes], start: ChainHead = GENESIS) -> ChainReport:
    """Check the records of one environment, in the order they were read, as the continuation of `start`."""
    head, environment, count, duplicates = start, "", 0, 0
    seen: dict[int, str] = {start.sequence: start.digest}
    problems: list[str] = []
    for raw in records:
        record, actual = _read(raw)
        environment = environment or record.environment
        count += 1
        if seen.get(record.sequence) == record.digest == actual:
            duplicates += 1
            continue
        problem = _problem(record, actual, head, environment)
        if problem:
            problems.append(problem)
        if record.sequence > head.sequence:
            head = ChainHead(record.sequence, record.digest)
        seen[record.sequence] = record.digest
    return ChainReport(environment, count, duplicates, head, tuple(problems))


def _read(raw: ActionRecord | bytes) -> tuple[ActionRecord, str]:
    if isinstance(raw, ActionRecord):
        return raw, digest_of(raw)
    return decode(ActionRecord, raw), digest_of(raw)


def _problem(record: ActionRecord, actual: str, head: ChainHead, environment: str) -> str:
    at = f"record {record.sequence}"
    if record.environment != environment:
        return f"{at} is of environment {record.environment!r}"
    if record.digest != actual:
        return f"{at} was edited: its digest does not match its content"
    if record.sequence <= head.sequence:
        return f"{at} comes after record {head.sequence}: reordered or inserted"
    if record.sequence != head.sequence + 1:
        return f"records {head.sequence + 1} to {record.sequence - 1} are missing before {at}"
    if record.previous != head.digest:
        return f"{at} does not continue record {head.sequence}: that one was replaced"
    return ""
