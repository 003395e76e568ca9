"""What the journal writes to its topic: one record per run, step line, fact and audit record, and their way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from contracts.errors import UnreadableEvent
from contracts.ports import RunEntry, StepEntry

Change = tuple[str, bytes | None]
"""Key and value of one record; None deletes what was under that key."""


class AuditLine(msgspec.Struct, frozen=True):
    """An audit record and whether it is on its topic."""

    environment: str
    sequence: int
    record: bytes
    published: bool


@dataclass(slots=True)
class Image:
    """All that a partition holds."""

    runs: dict[str, RunEntry] = field(default_factory=dict)
    steps: dict[tuple[str, int], StepEntry] = field(default_factory=dict)
    facts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    audit: list[AuditLine] = field(default_factory=list)


def run_change(entry: RunEntry) -> Change:
    """A run as it is now, without its steps."""
    return f"run/{entry.run}", msgspec.json.encode(replace(entry, steps=()))


def step_change(entry: StepEntry, number: int) -> Change:
    """A run's step line, the `number`th from 0."""
    return _step_key(entry.run, number), msgspec.json.encode(entry)


def fact_change(key: str, value: Mapping[str, Any]) -> Change:
    """A fact."""
    return f"fact/{key}", msgspec.json.encode(value)


def fact_dropped(key: str) -> Change:
    """That a fact is forgotten."""
    return f"fact/{key}", None


def run_dropped(run: str, steps: int) -> list[Change]:
    """That a run and its step lines, of which there are so many, are forgotten."""
    return [(f"run/{run}", None), *((_step_key(run, number), None) for number in range(steps))]


def audit_change(line: AuditLine) -> Change:
    """An audit record."""
    return _audit_key(line.environment, line.sequence), msgspec.json.encode(line)


def audit_dropped(environment: str, sequence: int) -> Change:
    """That an audit record need not be kept."""
    return _audit_key(environment, sequence), None


def image_of(records: Mapping[str, bytes]) -> Image:
    """The last value under each key, read.

    Raises:
        UnreadableEvent: a record that this release can't read. Acting on half a memory would be acting without guards.
    """
    image = Image()
    for key, value in records.items():
        kind, _, name = key.partition("/")
        try:
            _note(image, kind, name, value)
        except (msgspec.DecodeError, ValueError) as e:
            raise UnreadableEvent(
                f"journal record {key!r}: {e}", fix="was it written by a later release? then upgrade this worker"
            ) from e
    return image


def _note(image: Image, kind: str, name: str, value: bytes) -> None:
    match kind:
        case "run":
            image.runs[name] = msgspec.json.decode(value, type=RunEntry)
        case "step":
            number, _, run = name.partition("/")
            image.steps[run, int(number)] = msgspec.json.decode(value, type=StepEntry)
        case "fact":
            image.facts[name] = msgspec.json.decode(value, type=dict[str, Any])
        case "audit":
            image.audit.append(msgspec.json.decode(value, type=AuditLine))
        case _:
            raise ValueError("of an unknown kind")


def _step_key(run: str, number: int) -> str:
    return f"step/{number}/{run}"


def _audit_key(environment: str, sequence: int) -> str:
    return f"audit/{sequence}/{environment}"
