"""Columns from lists: ids, times and interned strings of one message."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import numpy as np

from connectors.otlp.identity import Identified
from contracts.frames.decoded import B1, I32, I64, U64, Resource

NO_SPAN: Final = bytes(8)
NO_TRACE: Final = bytes(16)
MAX_TIME: Final = np.uint64((1 << 63) - 1)


MAX_NAME: Final = 1024
"""Characters of a name that are kept: of spans, of callees, of templates of logs."""


class Strings:
    """The string table of one message; entry 0 is "". Of long texts the beginning is kept."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {"": 0}

    def index(self, text: str) -> int:
        """Position of a text, which is added if new."""
        return self._index.setdefault(text[:MAX_NAME], len(self._index))

    def column(self, texts: Sequence[str]) -> I32:
        """Positions of texts."""
        at = {text: self.index(text) for text in dict.fromkeys(texts)}
        return np.array([at[t] for t in texts], np.int32)

    def bytes_column(self, texts: Sequence[bytes], which: I64) -> I32:
        """Positions of texts that are still bytes; `which` of them each row has."""
        at = np.array([self.index(text.decode("utf-8", "replace")) for text in texts], np.int32)
        return at[which]

    def table(self) -> tuple[str, ...]:
        """All texts in order of their positions."""
        return tuple(self._index)


class Resources:
    """The resources of one message, each once."""

    def __init__(self) -> None:
        self._index: dict[Resource, int] = {}

    def index(self, identified: Identified) -> int:
        """Position of a resource, which is added if new."""
        return self._index.setdefault(identified.resource, len(self._index))

    def table(self) -> tuple[Resource, ...]:
        """All resources in order of their positions."""
        return tuple(self._index)


def halves(joined: bytes, width: int) -> U64:
    """The low 64 bits of each of the big-endian ids of `width` bytes in `joined`."""
    words = np.frombuffer(joined, ">u8").reshape(-1, width // 8)
    return words[:, -1].astype(np.uint64)


def ids_or_none(texts: Sequence[str], width: int) -> bytes | None:
    """Hexadecimal ids joined as bytes, empty ones as zeros; None unless each is hexadecimal of `width` bytes or empty."""
    lengths = set(map(len, texts))
    if not lengths <= {0, 2 * width}:
        return None
    joined = "".join(texts) if 0 not in lengths else "".join([t or "0" * (2 * width) for t in texts])
    try:
        out = bytes.fromhex(joined)
    except ValueError:
        return None
    return out if len(out) == width * len(texts) else None


def id_of(text: str, width: int) -> bytes | None:
    """One id of `width` bytes, in hexadecimal or base64; zeros for "", None if it is neither."""
    if not text:
        return bytes(width)
    if len(text) == 2 * width:
        return ids_or_none([text], width)
    try:
        out = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return out if len(out) == width else None


def times(values: Sequence[int]) -> U64:
    """Times as unsigned nanoseconds."""
    return np.array(values, np.uint64)


def usable(time: U64) -> B1:
    """Which times are given and representable."""
    return (time > 0) & (time <= MAX_TIME)
