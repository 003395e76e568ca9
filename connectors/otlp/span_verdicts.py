"""Which spans failed, and which are streams, by what their attributes say.

Few attributes can say so, and they say the same few things again and again: where spans are columns, each thing that is said is judged once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from connectors.otlp import span_bytes, streaming
from connectors.otlp.failures import ERROR, FailureJudge, judges
from connectors.otlp.flatten import DecodeContext
from connectors.otlp.values import Plain, pairs_from_bytes
from contracts.frames.decoded import B1, I8, I64, KIND_CLIENT, KIND_SERVER

ESCAPED: Final = b"exception.escaped"
_TRUE: Final = rb"(?:\x12\x02\x10\x01|\x12.\n.[tT]rue)"
_ESCAPES: Final = re.compile(
    rb'exception\.escaped(?:%s|"[^{]*\{[^}]*[tT]rue)|%s\n.exception\.escaped' % (_TRUE, _TRUE), re.DOTALL
)
"""That it is true: after the key, in JSON after the key, or before it (a serializer may write fields in descending order)."""


def keys_of(context: DecodeContext) -> frozenset[str]:
    """The attributes that may say so."""
    return _keys(judges(context.conventions)[0].keys)


@lru_cache(maxsize=16)
def _keys(failures: frozenset[str]) -> frozenset[str]:
    return failures | streaming.STREAM_KEYS


def of_columns(
    spans: span_bytes.SpanBytes, kind: I8, code: I64, some: span_bytes.Attributes, context: DecodeContext
) -> tuple[B1, B1]:
    """Which of plain spans failed, and which are streams; `some` are those of their attributes that may be of `keys_of`."""
    judge, keys = judges(context.conventions)[0], keys_of(context)
    error, stream = code == ERROR, np.zeros(len(kind), np.bool_)
    said = span_bytes.alike(spans, some)
    groups = [pairs_from_bytes(pairs, keys) for pairs in said.pairs]
    endless = np.array([streaming.is_stream(attributes) for attributes in groups], np.bool_)
    if groups:
        stream[said.row] = endless[said.group]
    side = _SIDES[kind[said.row]]
    case = (said.group * 3 + np.clip(code[said.row], 0, 2)) * 3 + side
    cases, which = np.unique(case, return_inverse=True)
    verdict = np.array([_verdict(judge, groups[c // 9], c // 3 % 3, c % 3) for c in cases.tolist()], np.bool_)
    if len(cases):
        error[said.row] = verdict[which.ravel()]
    if ESCAPED in spans.text:
        at = [m.start() for m in _ESCAPES.finditer(spans.text)]
        rows = np.unique(np.searchsorted(spans.start, np.array(at, np.int64), side="right") - 1)
        told = dict(zip(said.row.tolist(), said.group.tolist(), strict=True))
        for row in rows[code[rows] == 0].tolist():
            attributes = groups[told[row]] if row in told else {}
            error[row] = _verdict(judge, {**attributes, ESCAPED.decode(): True}, 0, int(_SIDES[kind[row]]))
    return error, stream


def of_messages(spans: Sequence[Any], kind: I8, code: I64, payload: bytes, context: DecodeContext) -> tuple[B1, B1]:
    """Which of some spans failed, and which are streams."""
    judge = judges(context.conventions)[0]
    error, stream = code == ERROR, np.zeros(len(kind), np.bool_)
    escaped = set(context.codec.rows(spans, payload, _ESCAPES)) if ESCAPED in payload else set()
    attributes = context.codec.read(spans, payload, range(len(spans)), judge.keys | streaming.STREAM_KEYS)
    for row, found in enumerate(attributes):
        status = int(code[row])
        if row in escaped and status == 0:
            found[ESCAPED.decode()] = True
        if found:
            error[row] = _verdict(judge, found, status, int(_SIDES[kind[row]]))
            stream[row] = streaming.is_stream(found)
    return error, stream


_SERVED, _CALLED, _WITHIN = 0, 1, 2
_SIDES: Final = np.array(
    [{KIND_SERVER: _SERVED, KIND_CLIENT: _CALLED}.get(kind, _WITHIN) for kind in range(6)], np.int64
)


def _verdict(judge: FailureJudge, attributes: dict[str, Plain], status: int, side: int) -> bool:
    return judge.failed(attributes, status, caller=side == _CALLED, codes=side != _WITHIN)
