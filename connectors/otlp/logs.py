"""Log records as columns; bodies become templates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from connectors.otlp.columns import times, usable
from connectors.otlp.flatten import DecodeContext, flatten
from connectors.otlp.reasons import BAD_TIME
from connectors.otlp.templates import MAX_BODY, message_of, severity_of, template_of
from connectors.otlp.values import Plain, text_of
from contracts.frames.decoded import LogBatch

_MAX_SEVERITY: Final = 24


def log_batch(entries: Iterable[Any], context: DecodeContext) -> LogBatch | None:
    """The records of ResourceLogs messages; None where there are none. A broken trace or span id becomes 0."""
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
    templates = [template_of(_text(codec.body(r))[:MAX_BODY]) for r in records]
    severities = [_severity(codec.severity(r)) or t.severity for r, t in zip(records, templates, strict=True)]
    return LogBatch(
        resource=flat.resource[timely],
        time_ns=time[timely].astype(np.int64),
        severity=np.array(severities, np.int8),
        template=np.array([t.hash for t in templates], np.uint64),
        body=context.strings.column([t.text for t in templates]),
        trace=codec.ids([r.trace_id for r in records], 16)[0],
        span=codec.ids([r.span_id for r in records], 8)[0],
    )


def _text(body: Plain) -> str:
    return message_of(body) if isinstance(body, dict) else text_of(body)


def _severity(given: int | str) -> int:
    if isinstance(given, str):
        return severity_of(given)
    return given if 0 <= given <= _MAX_SEVERITY else 0
