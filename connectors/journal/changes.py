"""What the journal writes to its topic: one record per run, step line, fact and audit record, and their way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from contracts.errors import UnreadableEvent
from contracts.ports import RunEntry, StepEntry
from contracts.units import DAY
from contracts.verdicts import TERMINAL_RUN_STATES

KEPT_NS: Final = 30 * DAY
"""Runs that ended this long ago are deleted when their partition is taken. Guards look back a week."""

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


def prune(image: Image, now_ns: int) -> list[Change]:
    """Take out of the image the runs that ended long ago, with all that hangs on them; the changes that delete them."""
    old = {
        name
        for name, run in image.runs.items()
        if run.state in TERMINAL_RUN_STATES and run.updated_ns < now_ns - KEPT_NS
    }
    names = old | {image.runs[name].decision for name in old}
    steps = [key for key in image.steps if key[0] in old]
    facts = [key for key in image.facts if key.rpartition("/")[2] in names]
    _delete(image.runs, old)
    _delete(image.steps, steps)
    _delete(image.facts, facts)
    keys = [f"run/{n}" for n in sorted(old)] + [_step_key(*s) for s in steps] + [f"fact/{f}" for f in facts]
    return [(key, None) for key in keys]


def _delete(of: dict[Any, Any], keys: Iterable[Any]) -> None:
    for key in keys:
        del of[key]


def _step_key(run: str, number: int) -> str:
    return f"step/{number}/{run}"


def _audit_key(environment: str, sequence: int) -> str:
    return f"audit/{sequence}/{environment}"
