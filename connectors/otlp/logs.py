"""Log records as columns; bodies become templates, and lines of a stack trace the record that they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from connectors.otlp.columns import times, usable
from connectors.otlp.failures import judges
from connectors.otlp.flatten import DecodeContext, flatten
from connectors.otlp.log_bodies import ERROR, severity_of
from connectors.otlp.reasons import BAD_TIME, STACK_LINE
from connectors.otlp.stack_traces import continues
from connectors.otlp.templates import LogTemplate, template_of, template_of_attributes, template_of_map
from connectors.otlp.values import text_of
from contracts.frames.decoded import B1, LogBatch
from contracts.units import SECOND

_TOGETHER_NS: Final = SECOND
"""Lines of one stack trace are written, or read, within this time."""
_MAX_SEVERITY: Final = 24


def log_batch(entries: Iterable[Any], payload: bytes, context: DecodeContext) -> LogBatch | None:
    """The records of ResourceLogs messages; None where there are none. A broken trace or span id becomes 0. `payload` is the message
    they came from."""
    flat = flatten(entries, "Logs", context)
    records, codec = flat.items, context.codec
    if not records:
        return None
    time = times([r.time_unix_nano or r.observed_time_unix_nano for r in records])
    timely = usable(time)
    if not timely.all():
        context.skips.add(BAD_TIME, int((~timely).sum()))
        if not timely.any():
            return None
        records = [records[i] for i in np.flatnonzero(timely).tolist()]
    bodies = [codec.body(r) for r in records]
    templates = [template_of_map(b) if isinstance(b, dict) else template_of(text_of(b)) for b in bodies]
    severities = [_severity(codec.severity(r)) or t.severity for r, t in zip(records, templates, strict=True)]
    trace, span = codec.ids([r.trace_id for r in records], 16)[0], codec.ids([r.span_id for r in records], 8)[0]
    lacking = [i for i, body in enumerate(bodies) if not severities[i] or body in (None, "", {})]
    at = np.flatnonzero(timely)[lacking].tolist()
    judge = judges(context.conventions)[0]
    for i, found in zip(lacking, codec.log_attributes(flat.items, payload, at), strict=True):
        said = template_of_attributes(found, templates[i], judge) if found else templates[i]
        templates[i], severities[i] = said, severities[i] or said.severity
    batch = LogBatch(
        resource=flat.resource[timely],
        time_ns=time[timely].astype(np.int64),
        severity=np.array(severities, np.int8),
        template=np.array([t.hash for t in templates], np.uint64),
        body=context.strings.column([t.text for t in templates]),
        trace=np.where(trace == 0, np.array([t.trace for t in templates], np.uint64), trace),
        span=np.where(span == 0, np.array([t.span for t in templates], np.uint64), span),
    )
    heads = _heads(batch, [b if isinstance(b, str) else None for b in bodies], templates)
    if heads.all():
        return batch
    context.skips.add(STACK_LINE, int((~heads).sum()))
    return LogBatch(*(getattr(batch, column)[heads] for column in LogBatch.__slots__))


def _heads(batch: LogBatch, bodies: list[str | None], templates: list[LogTemplate]) -> B1:
    """Which records begin something; the others are lines of the stack trace of the record before, read line by line."""
    heads = np.ones(len(batch), np.bool_)
    resource, time_ns = batch.resource.tolist(), batch.time_ns.tolist()
    tracing = failed = False
    for i, body in enumerate(bodies):
        follows = i > 0 and resource[i] == resource[i - 1] and abs(time_ns[i] - time_ns[i - 1]) <= _TOGETHER_NS
        if follows and body is not None and continues(body, tracing=tracing, failed=failed):
            heads[i] = False
            tracing = True
            continue
        failed, tracing = bool(batch.severity[i] >= ERROR), templates[i].tracing
    return heads


def _severity(given: int | str) -> int:
    if isinstance(given, str):
        return severity_of(given)
    return given if 0 <= given <= _MAX_SEVERITY else 0
