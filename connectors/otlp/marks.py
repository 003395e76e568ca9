"""What a span says of itself besides whom it calls and whether it failed: that its duration is no latency, and how many it stands for.

**Untimed** spans are requests, and fail as requests do, but how long they take is not up to who serves them: who asks for work
waits until there is some (`receive`, `BLPOP`), a batch takes as long as it is large, a timetable's job as long as there is to do,
and a body of megabytes as long as the other side's line needs. What is a stream (`streaming`) is no request at all.

**Weights** are adjusted counts: a span that was kept with probability p stands for 1/p (Horvitz and Thompson 1952). Said by the
tracestate of OpenTelemetry (`ot=th:`, a threshold of 56 bits; `ot=p:`, the exponent of before), or by an attribute of the sampler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from connectors.otlp import span_bytes
from connectors.otlp.flatten import DecodeContext
from connectors.otlp.values import Plain, cached, number_of, pairs_from_bytes, text_of
from contracts.frames.decoded import B1, I8, I32, I64, KIND_CLIENT, KIND_CONSUMER

UNIT: Final = 1000
"""Weights are in thousandths, so that sums of them are exact."""
RANDOM_ID: Final = -1
MOST: Final = 1_000_000
"""A span that stands for more is not believed to."""
LARGE: Final = 1 << 20
"""Bytes of a body from which on the line sets the pace."""
_WAITS: Final = frozenset({"receive", "poll"})
_BLOCKING: Final = frozenset(
    {
        *("BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "WAIT", "WAITAOF"),
        *("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "LISTEN", "WAITFOR"),
    }
)
"""Commands of databases that answer when something has come, or not before a timeout."""
_RECEIVING: Final = frozenset({"receivemessage", "sqs.receivemessage", "sqs/receivemessage"})
OPERATION: Final = ("messaging.operation.type", "messaging.operation", "messaging.operation.name")
BATCH: Final = "messaging.batch.message_count"
COMMAND: Final = ("db.operation.name", "db.operation")
TIMETABLE: Final = ("faas.cron", "job.system", "faas.trigger")
_TIMER: Final = "timer"
JOB_KEYS: Final = frozenset({"k8s.cronjob.name", "k8s.job.name"})
"""Attributes of resources whose root spans are runs of a job."""
SIZES: Final = frozenset(
    {
        *("http.request.body.size", "http.response.body.size", "http.request_content_length"),
        *("http.response_content_length", "http.request.size", "http.response.size"),
        *("http.request_content_length_uncompressed", "http.response_content_length_uncompressed"),
    }
)
JAEGER_TYPE, JAEGER_PARAM = "sampler.type", "sampler.param"
RATES: Final = ("SampleRate", "meta.refinery.sample_rate")
"""How many spans one stands for."""
PROBABILITIES: Final = ("_dd.rule_psr", "_dd.agent_psr", "_sample_rate")
MARKING: Final = frozenset({*OPERATION, BATCH, *COMMAND, *TIMETABLE, JAEGER_TYPE, JAEGER_PARAM, *RATES, *PROBABILITIES})
MARK_KEYS: Final = MARKING | SIZES
_LARGE_VARINT: Final = 3
"""Bytes of a varint from which on it may be as large."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Of n spans: whose duration is no latency, and how many each stands for in thousandths (0: it does not say; `RANDOM_ID`:
    neither, but its trace id is random)."""

    untimed: B1
    weight: I32


def weight_of_state(state: str) -> int:
    """What a tracestate says of sampling, in thousandths; 0 where it says nothing that makes sense.

    `th` is the rejection threshold T of 56 bits, trailing zeros left out: kept with probability (2^56 - T) / 2^56. `p` is the
    negative logarithm to base 2 of the probability; 63 is one of zero.
    """
    for member in state.split(","):
        vendor, _, value = member.strip().partition("=")
        if vendor != "ot":
            continue
        parts = dict(part.partition(":")[::2] for part in value.split(";"))
        threshold, exponent = parts.get("th"), parts.get("p")
        if threshold and len(threshold) <= 14 and all(c in "0123456789abcdef" for c in threshold):
            return _thousandths((1 << 56) / ((1 << 56) - int(threshold.ljust(14, "0"), 16)))
        if exponent and exponent.isdecimal() and len(exponent) <= 2 and int(exponent) < 63:
            return _thousandths(float(1 << int(exponent)))
    return 0


def weight_of(attributes: Mapping[str, Plain]) -> int:
    """What attributes say of sampling, in thousandths; 0 where they say nothing that makes sense."""
    kind = attributes.get(JAEGER_TYPE)
    if kind is not None:
        share = number_of(attributes.get(JAEGER_PARAM))
        if text_of(kind) == "probabilistic" and share is not None and 0 < share <= 1:
            return _thousandths(1 / share)
        return UNIT if text_of(kind) == "const" and share else 0
    for key in RATES:
        if (rate := number_of(attributes.get(key))) is not None and rate >= 1:
            return _thousandths(rate)
    for key in PROBABILITIES:
        if (share := number_of(attributes.get(key))) is not None and 0 < share <= 1:
            return _thousandths(1 / share)
    return 0


def _thousandths(weight: float) -> int:
    return round(weight * UNIT) if weight <= MOST else 0


def is_untimed(attributes: Mapping[str, Plain], kind: int) -> bool:
    """Whether attributes say that a span's duration is no latency."""
    if kind in (KIND_CLIENT, KIND_CONSUMER):
        if any(_said(attributes, key).lower() in _WAITS for key in OPERATION):
            return True
        if any(_said(attributes, key).upper() in _BLOCKING for key in COMMAND):
            return True
    if (number_of(attributes.get(BATCH)) or 0) > 1:
        return True
    if any((number_of(attributes.get(key)) or 0) >= LARGE for key in SIZES & attributes.keys()):
        return True
    cron, system, trigger = (_said(attributes, key) for key in TIMETABLE)
    return bool(cron or system or trigger == _TIMER)


def _said(attributes: Mapping[str, Plain], key: str) -> str:
    value = attributes.get(key)
    return "" if value is None else text_of(value)


@lru_cache(maxsize=65_536)
def waits_by_name(name: str) -> tuple[bool, bool]:
    """Whether a span of this name waits for work, as a client and as a consumer: `orders receive`, `BLPOP`, `SQS.ReceiveMessage`."""
    words = name.split()
    if not words:
        return False, False
    asks = words[0] in _BLOCKING or name.lower() in _RECEIVING
    return asks, asks or words[0].lower() in _WAITS or words[-1].lower() in _WAITS


def is_random(flags: int | str) -> bool:
    """Whether flags of a span say that its trace id is random."""
    number = number_of(flags)
    return number is not None and bool(int(number) & span_bytes.RANDOM_FLAG)


def _named(name: I32, kind: I8, context: DecodeContext) -> B1:
    """Spans whose names say that they wait. A message has few names, so each is looked at once."""
    waits = np.array([waits_by_name(text) for text in context.strings.table()], np.bool_)
    found: B1 = np.where(kind == KIND_CONSUMER, waits[name, 1], (kind == KIND_CLIENT) & waits[name, 0])
    return found


def of_messages(
    kind: I8,
    name: I32,
    states: Sequence[tuple[str | bytes | None, bool]],
    said: Iterable[Mapping[str, Plain]],
    context: DecodeContext,
) -> Marks:
    """Marks of some spans: `states` are their tracestates and whether their trace ids are random, `said` their attributes."""
    untimed, weight = _named(name, kind, context), np.zeros(len(kind), np.int32)
    for row, attributes in enumerate(said):
        if attributes:
            untimed[row] |= is_untimed(attributes, int(kind[row]))
            weight[row] = weight_of(attributes)
    for row, (state, random) in enumerate(states):
        if state:
            weight[row] = _state(state) or weight[row]
        if random and not weight[row]:
            weight[row] = RANDOM_ID
    return Marks(untimed, weight)


@cached(4096, 512)
def _state(state: str | bytes) -> int:
    return weight_of_state(state.decode("ascii", "replace") if isinstance(state, bytes) else state)


def of_columns(
    spans: span_bytes.SpanBytes,
    kind: I8,
    name: I32,
    some: tuple[span_bytes.Attributes, span_bytes.Attributes],
    context: DecodeContext,
) -> Marks:
    """Marks of plain spans; `some` are those of their attributes that may be of `MARKING`, and of `SIZES`. What is said again and
    again is judged once."""
    untimed, weight = _named(name, kind, context), np.zeros(len(kind), np.int32)
    marking, sizes = some
    if len(marking.row):
        said = span_bytes.alike(spans, marking)
        case = said.group * 8 + kind[said.row]
        cases, which = np.unique(case, return_inverse=True)
        groups = [pairs_from_bytes(pairs, MARK_KEYS) for pairs in said.pairs]
        slow = np.array([is_untimed(groups[c // 8], c % 8) for c in cases.tolist()], np.bool_)
        untimed[said.row] |= slow[which.ravel()]
        weight[said.row] = np.array([weight_of(g) for g in groups], np.int32)[said.group]
    _large_bodies(spans, sizes, untimed)
    rows = np.flatnonzero(spans.state_size)
    at, size = spans.state_at[rows].tolist(), spans.state_size[rows].tolist()
    for row, a, n in zip(rows.tolist(), at, size, strict=True):
        weight[row] = _state(spans.text[a : a + n]) or weight[row]
    weight[(weight == 0) & spans.random] = RANDOM_ID
    return Marks(untimed, weight)


def _large_bodies(spans: span_bytes.SpanBytes, some: span_bytes.Attributes, untimed: B1) -> None:
    """Sizes of bodies differ from span to span: only those are read that may be large, by how many bytes they take."""
    if not len(some.row):
        return
    key: I64 = np.frombuffer(spans.text, np.uint8)[some.start + 1].astype(np.int64)
    some = some.where(some.stop - some.start - key - 5 >= _LARGE_VARINT)
    for row, a, b in zip(some.row.tolist(), some.start.tolist(), some.stop.tolist(), strict=True):
        untimed[row] |= is_untimed(pairs_from_bytes((spans.text[a:b],), SIZES), 0)
