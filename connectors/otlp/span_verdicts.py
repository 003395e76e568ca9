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
from contracts.frames.decoded import B1, I8, I64, KIND_CLIENT, KIND_SERVER, U64

ESCAPED: Final = b"exception.escaped"
_TRUE: Final = rb"(?:\x12\x02\x10\x01|\x12.\n.[tT]rue)"
_ESCAPES: Final = re.compile(
    rb'exception\.escaped(?:%s|"[^{]*\{[^}]*[tT]rue)|%s\n.exception\.escaped' % (_TRUE, _TRUE), re.DOTALL
)
"""That it is true: after the key, in JSON after the key, or before it (a serializer may write fields in descending order)."""
_WHOLE_WORD: Final = 7
"""Letters of a key from which on `span_bytes.starts_of` tells it."""


def of_columns(spans: span_bytes.SpanBytes, kind: I8, code: I64, starts: U64, context: DecodeContext) -> tuple[B1, B1]:
    """Which of plain spans failed, and which are streams; `starts` are those of their attributes' keys."""
    judge = judges(context.conventions)[0]
    error, stream = code == ERROR, np.zeros(len(kind), np.bool_)
    whole, cut = _starts(judge.keys | streaming.STREAM_KEYS)
    wanted = span_bytes.among(starts, whole)
    for word, mask in cut:
        wanted |= (starts & mask) == word
    said = span_bytes.alike(spans, spans.attributes.where(wanted))
    keys = judge.keys | streaming.STREAM_KEYS
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


@lru_cache(maxsize=16)
def _starts(keys: frozenset[str]) -> tuple[U64, tuple[tuple[np.uint64, np.uint64], ...]]:
    """What keys begin with: those that are told by whole words, and (word, mask) of shorter ones."""
    long = frozenset(key for key in keys if len(key) >= _WHOLE_WORD)
    short = [bytes([len(key)]) + key.encode() for key in sorted(keys - long)]
    cut = ((int.from_bytes(s, "little"), (1 << 8 * len(s)) - 1) for s in short)
    return span_bytes.starts_of(long), tuple((np.uint64(word), np.uint64(mask)) for word, mask in cut)
