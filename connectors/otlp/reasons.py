"""Why telemetry was refused or left out: the complete list of reasons, which are also metric labels.

A message nobody can read raises `UndecodableTelemetry` with one of `REFUSED`; what is readable but cannot be used is
counted in `Decoded.skipped` under one of `SKIPPED`. Nothing is left out without one of the two.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from connectors.otlp import wire
from contracts.errors import UndecodableTelemetry

EMPTY: Final = "empty"
NOT_OTLP: Final = "not_otlp"
TRUNCATED: Final = "truncated"
INVALID_JSON: Final = "invalid_json"
INVALID_PROTOBUF: Final = "invalid_protobuf"
WRONG_SIGNAL: Final = "wrong_signal"
TOO_LARGE: Final = "too_large"
INVALID_FIELD: Final = "invalid_field"
NOTHING_READ: Final = "nothing_read"
WRONG_ENCODING: Final = "wrong_encoding"
WRONG_SNAPPY: Final = "wrong_snappy"

BAD_TIME: Final = "bad_time"
UNMAPPED_METRIC: Final = "unmapped_metric"
UNMAPPED_UNIT: Final = "unmapped_unit"
UNUSED_METRIC: Final = "unused_metric"
BEYOND_SENSE: Final = "beyond_sense"
NO_SUBJECT: Final = "no_subject"
NO_RECORDED_VALUE: Final = "no_recorded_value"
NOT_FINITE: Final = "not_finite"
SUMMARY: Final = "summary"
OTHER_TYPE: Final = "other_metric_type"
NO_BUCKETS: Final = "no_buckets"
SPLIT_HISTOGRAM: Final = "split_histogram"
STALE_MARKER: Final = "stale_marker"
DELTA_LEVEL: Final = "delta_level"
OTHER_STATE: Final = "other_state"
NOT_SERVED: Final = "not_served"
LONG_LIVED: Final = "long_lived"
STACK_LINE: Final = "stack_line"
UNKNOWN_FIELD: Final = "unknown_field"

REFUSED: Final[dict[str, str]] = {
    EMPTY: "no bytes, only white space, or an empty JSON object",
    NOT_OTLP: "neither OTLP protobuf nor OTLP JSON",
    TRUNCATED: "the message ends before its content does",
    INVALID_JSON: "malformed JSON, or nested too deeply",
    INVALID_PROTOBUF: "malformed protobuf",
    WRONG_SIGNAL: "OpenTelemetry of a kind that is not traces, metrics or logs",
    TOO_LARGE: "more bytes than a decoder accepts",
    INVALID_FIELD: "a field has the wrong type or an impossible value, and nothing else in the message is usable",
    NOTHING_READ: "nothing in it is known, and it is not empty",
    WRONG_ENCODING: "it is not in the encoding that the settings name for its topic",
    WRONG_SNAPPY: "a remote write that is not compressed by Snappy, as its protocol has it",
}
SKIPPED: Final[dict[str, str]] = {
    INVALID_FIELD: "an item has a field of the wrong type or an impossible value",
    BAD_TIME: "no time, a time after the year 2262, or an end before its start",
    UNMAPPED_METRIC: "a point of a metric that nobody has told of; `homeostat telemetry unmapped` lists them",
    UNMAPPED_UNIT: "a point of a mapped metric whose unit is unknown, is not one of what it measures, or is not what its name says",
    UNUSED_METRIC: "a point of a metric that is known and feeds no feature",
    BEYOND_SENSE: "a share of far more than the whole, or less than nothing: it is no share",
    NO_SUBJECT: "a point that is about nobody: a sum over a whole node, a pause container, a call of the caller's side",
    NO_RECORDED_VALUE: "a point whose flags say that nothing was recorded",
    NOT_FINITE: "a value that is NaN or infinite",
    SUMMARY: "a summary that carries neither quantiles nor a count, or is of no duration",
    OTHER_TYPE: "a mapped metric whose data type does not fit its feature",
    NO_BUCKETS: "a histogram point with neither buckets nor a count",
    SPLIT_HISTOGRAM: "series of a histogram of which this message does not have all; its counters go on, so the next one that is whole tells it",
    STALE_MARKER: "Prometheus' mark that a series has ended",
    DELTA_LEVEL: "a change of a level whose absolute value is not known",
    OTHER_STATE: "a point of a state that the feature leaves out (idle CPU, free memory)",
    LONG_LIVED: "a duration of a web socket, an event stream, a long poll: that is no latency",
    STACK_LINE: "a log record that is a line of the stack trace of the record before it",
    UNKNOWN_FIELD: "it stands in a field that OTLP doesn't have: a misspelt one, or one of a later version",
    NOT_SERVED: "a duration of a call that was not served here (a client's or an internal one)",
}


class Skips:
    """Counts what is left out of one message, and remembers the first place with an invalid field."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first = ""

    def add(self, reason: str, count: int = 1) -> None:
        """Count `count` items under `reason`."""
        if count:
            self.counts[reason] += count

    def invalid(self, place: str, problem: str) -> None:
        """Count an item with an invalid field at `place`."""
        self.counts[INVALID_FIELD] += 1
        self.note(place, problem)

    def foreign(self, place: str, records: int) -> None:
        """Count records in an unknown field at `place`."""
        if records:
            self.note(place, "no field of OTLP")
            self.add(UNKNOWN_FIELD, records)

    def note(self, place: str, problem: str) -> None:
        """Remember a place where something is wrong, if it is the first; nothing is lost by it."""
        if not self.first:
            self.first = f"{place}: {problem}"

    def unreadable(self, place: str, items: int) -> None:
        """Count the items of a resource that cannot be read: nobody knows whose they are."""
        self.note(place, "not a resource")
        self.add(INVALID_FIELD, items)

    def as_dict(self) -> dict[str, int]:
        """The counts in alphabetic order of their reasons."""
        return dict(sorted(self.counts.items()))


def refuse(reason: str, detail: str = "") -> UndecodableTelemetry:
    """The error for a message that cannot be read. `reason` is one of `REFUSED`."""
    return UndecodableTelemetry(f"{REFUSED[reason]}: {detail}" if detail else REFUSED[reason], reason=reason)


def malformed_json(error: Exception) -> UndecodableTelemetry:
    """The refusal for an error of a JSON reader."""
    if isinstance(error, RecursionError):
        return refuse(INVALID_JSON, "nested too deeply")
    text = str(error)
    return refuse(TRUNCATED if "truncated" in text else INVALID_JSON, text)


def malformed_protobuf(payload: bytes, read_as: str) -> UndecodableTelemetry:
    """The refusal for bytes that a protobuf parser refused. `read_as` names the message or encoding that was expected."""
    reason = TRUNCATED if wire.is_truncated(payload) else INVALID_PROTOBUF
    return refuse(reason, f"{len(payload)} bytes read as {read_as}")
