"""Many spans at once, straight from their bytes: all spans of a message are walked in step, one field of each at a time.

A span is a handful of fields, so a few dozen operations on whole columns read thousands of spans; protobuf's own parser makes
an object of each, and every value taken from it costs a call. Only what is plain is read here: known fields of known wire
types, ids of the right length. Anything else (`None`) is for the parser to judge.
Wire format: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, I64, U64

FEWEST: Final = 160
"""Below so many spans the parser is quicker."""
_MOST_FIELDS: Final = 96
_PAD: Final = bytes(32)
_VARINT, _FIXED, _BYTES = 1, 2, 3
_FIELDS: Final = 17
_TRACE, _SPAN, _STATE, _PARENT, _NAME, _KIND = 1, 2, 3, 4, 5, 6
_START, _END, _ATTRIBUTE, _LINK, _STATUS, _FLAGS = 7, 8, 9, 13, 15, 16
RANDOM_FLAG: Final = 0x02
_ATTRIBUTE_TAG: Final = 0x4A
_FLAGS_TAG: Final = 0x85  # field 16, fixed32: its tag goes on with 0x01
_KEY, _VALUE = 0x0A, 0x12  # tags of KeyValue


def _table(of: dict[int, int]) -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    table[list(of)] = list(of.values())
    return table


_SHAPE: Final = _table(
    {
        **dict.fromkeys((0x0A, 0x12, 0x1A, 0x22, 0x2A, 0x4A, 0x5A, 0x6A, 0x7A), _BYTES),
        **dict.fromkeys((0x30, 0x50, 0x60, 0x70), _VARINT),
        **dict.fromkeys((0x39, 0x41, _FLAGS_TAG), _FIXED),
    }
)


@dataclass(frozen=True, slots=True)
class Attributes:
    """m attributes of spans: the row of each, and where its KeyValue begins and ends."""

    row: I64
    start: I64
    stop: I64

    def where(self, keep: B1 | I64) -> Attributes:
        """Some of them."""
        at = np.flatnonzero(keep) if keep.dtype == np.bool_ else keep
        return Attributes(self.row.take(at), self.start.take(at), self.stop.take(at))


@dataclass(frozen=True, slots=True)
class SpanBytes:
    """n spans in `text` (all bodies end to end, then zeros): ids, times and kinds as columns, the rest by its place.

    `start` has n + 1 entries: where each body begins. Names, statuses and tracestates lie at `*_at` and are `*_size` bytes long.
    """

    text: bytes
    start: I64
    trace: U64
    span: U64
    parent: U64
    start_ns: U64
    end_ns: U64
    kind: I64
    name_at: I64
    name_size: I64
    status_at: I64
    status_size: I64
    state_at: I64
    state_size: I64
    random: B1
    """Whether the trace id is said to be random (W3C Trace Context, level 2)."""
    linked: I64
    """Rows with links."""
    attributes: Attributes

    def names(self) -> tuple[list[bytes], I64]:
        """Distinct names in the order of their first spans, not yet decoded, and which of them each span has."""
        digest = _digests_of(self.text, self.name_at, self.name_size)
        _, first, which = np.unique(digest, return_index=True, return_inverse=True)
        order = np.argsort(first)
        first, rank = first[order], np.argsort(order)
        at, size = self.name_at[first].tolist(), self.name_size[first].tolist()
        return [self.text[a : a + n] for a, n in zip(at, size, strict=True)], rank[which.ravel()]

    def statuses(self) -> list[tuple[int, bytes]]:
        """Rows that have a status with anything in it, and its bytes."""
        rows = np.flatnonzero(self.status_size)
        at, size = self.status_at[rows].tolist(), self.status_size[rows].tolist()
        return [(r, self.text[a : a + n]) for r, a, n in zip(rows.tolist(), at, size, strict=True)]


def read(bodies: list[bytes]) -> SpanBytes | None:
    """The spans of serialized Span messages; None where something is not plain."""
    size = np.fromiter(map(len, bodies), np.int64, len(bodies))
    bounds = np.zeros(len(bodies) + 1, np.int64)
    np.cumsum(size, out=bounds[1:])
    text = b"".join([*bodies, _PAD])
    walked = _walk(text, bounds)
    if walked is None:
        return None
    at, length, attributes = walked
    if any((length[f] & ~n).any() for f, n in ((_TRACE, 16), (_SPAN, 8), (_PARENT, 8))):
        return None  # neither missing nor of that length
    at[length == 0] = bounds[-1]  # where there are only zeros
    ids, words = _words(text, ">u8"), _words(text, "<u8")
    kind = length[_KIND]
    return SpanBytes(
        text=text,
        start=bounds,
        trace=ids[at[_TRACE] + 8 * (length[_TRACE] > 0)].astype(np.uint64),
        span=ids[at[_SPAN]].astype(np.uint64),
        parent=ids[at[_PARENT]].astype(np.uint64),
        start_ns=words[at[_START]].astype(np.uint64),
        end_ns=words[at[_END]].astype(np.uint64),
        kind=np.where(kind <= 5, kind, 0),
        name_at=at[_NAME],
        name_size=length[_NAME],
        status_at=at[_STATUS],
        status_size=length[_STATUS],
        state_at=at[_STATE],
        state_size=length[_STATE],
        random=(_words(text, "<u4")[at[_FLAGS]] & RANDOM_FLAG) != 0,
        linked=np.flatnonzero(length[_LINK]),
        attributes=attributes,
    )


def _words(text: bytes, kind: str) -> NDArray[Any]:
    """The word that begins at each byte."""
    dtype = np.dtype(kind)
    return np.ndarray((len(text) - dtype.itemsize + 1,), dtype, text, strides=(1,))


def _walk(text: bytes, bounds: I64) -> tuple[I64, I64, Attributes] | None:
    """Where the last field of each number is in each span, its length (of a varint: its value), and all attributes."""
    n = len(bounds) - 1
    at, length = np.zeros(_FIELDS * n, np.int64), np.zeros(_FIELDS * n, np.int64)
    words = _words(text, "<u4")
    row, place, end = np.arange(n), bounds[:-1], bounds[1:]
    found: list[tuple[I64, I64, I64]] = []
    for _ in range(_MOST_FIELDS):
        going = place < end
        if not going.all():
            row, place, end = row[going], place[going], end[going]
        if not len(row):
            return at.reshape(_FIELDS, n), length.reshape(_FIELDS, n), _attributes(found)
        step = _step(words[place], place)
        if step is None:
            return None
        tag, content, size, stop = step
        if (stop > end).any():
            return None
        cell = (tag >> 3).astype(np.int64) * n + row
        at[cell], length[cell] = content, size
        which = np.flatnonzero(tag == _ATTRIBUTE_TAG)
        if len(which):
            found.append((row[which], content[which], stop[which]))
        place = stop
    return None


def _step(word: NDArray[np.uint32], place: I64) -> tuple[NDArray[np.uint8], I64, I64, I64] | None:
    """Tag, start of the content, its length or value, and its end, of the fields that begin with these four bytes."""
    tag = word.astype(np.uint8)
    shape = _SHAPE[tag]
    if not shape.all():
        return None
    word = word >> np.uint32(8)
    size = (word & np.uint32(0x7F)).astype(np.int64)
    content = place + 2
    more = (word & np.uint32(0x80) != 0) & (shape != _FIXED)
    if more.any():
        if (word[more] & np.uint32(0x808000) == np.uint32(0x808000)).any():
            return None
        size += np.where(more, (word >> np.uint32(8) & np.uint32(0x7F)).astype(np.int64) << 7, 0)
        third = more & (word & np.uint32(0x8000) != 0)
        size += np.where(third, (word >> np.uint32(16) & np.uint32(0x7F)).astype(np.int64) << 14, 0)
        content += more
        content += third
    fixed = shape == _FIXED
    if not fixed.any():
        return tag, content, size, content + np.where(shape == _VARINT, 0, size)
    flags = tag == _FLAGS_TAG
    if (word[flags] & np.uint32(0xFF) != 1).any():
        return None
    content -= fixed & ~flags
    size[fixed] = 8
    size[flags] = 4
    return tag, content, size, content + np.where(shape == _VARINT, 0, size)


def _attributes(found: list[tuple[I64, I64, I64]]) -> Attributes:
    if not found:
        none = np.empty(0, np.int64)
        return Attributes(none, none, none)
    return Attributes(*(np.concatenate(c) for c in zip(*found, strict=True)))


def _start_of(key: str) -> int:
    """Length and first seven bytes of a key, as one word."""
    return int.from_bytes(bytes([len(key)]) + key.encode()[:7], "little")


def key_starts(spans: SpanBytes, attributes: Attributes) -> U64:
    """Length and first seven bytes of the key of each attribute; 0 where the attribute is not plain."""
    start = attributes.start
    words = _words(spans.text, "<u8")
    key = words[start + 1]
    size = (key & _BYTE).astype(np.int64)
    first = words[start].astype(np.uint8)
    rest = np.minimum(start + 2 + size, len(spans.text) - 8)
    if (first == _VALUE).any():
        return _starts_in_any_order(spans, attributes)
    second = _words(spans.text, "<u4")[rest]
    low, high = (second >> np.uint32(8) & np.uint32(0xFF)).astype(np.int64), second >> np.uint32(16) & np.uint32(0xFF)
    long = low >= 0x80
    end = rest + 2 + low
    if long.any():
        end = np.where(long, rest + 3 + (low & 0x7F) + (high.astype(np.int64) << 7), end)
        long &= high >= 0x80
    second_tag = second.astype(np.uint8)
    plain = (first == _KEY) & (size < 0x80) & (second_tag == _VALUE) & (end == attributes.stop) & ~long
    found: U64 = key * plain & _KEPT[np.minimum(size + 1, 8)]
    return found


def _starts_in_any_order(spans: SpanBytes, attributes: Attributes) -> U64:
    """The same where some values stand before their keys."""
    data, words = np.frombuffer(spans.text, np.uint8), _words(spans.text, "<u8")
    first, size = data[attributes.start], data[attributes.start + 1].astype(np.int64)
    value_first = first == _VALUE
    rest = attributes.start + 2 + size
    key_at = np.where(value_first, np.minimum(rest + 1, len(data) - 8), attributes.start + 1)
    plain = _plain(data, attributes, value_first, size, rest)
    key = words[key_at] * plain
    return key & _KEPT[np.minimum((key & _BYTE).astype(np.int64) + 1, 8)]


def sorts_of(starts: U64, sorts: tuple[frozenset[str], ...]) -> NDArray[np.uint16]:
    """Which sorts of keys attributes may be of, by what their keys begin with: bit i is set where one may be of `sorts[i]`. Those that
    are not plain may be of all."""
    places, bits, factor = _places_of(sorts)
    at = (starts * factor) >> _PLACE_SHIFT
    found: NDArray[np.uint16] = bits[at] * (places[at] == starts)
    odd = starts == 0
    if odd.any():
        found[odd] = (1 << len(sorts)) - 1
    return found


_PLACE_BITS: Final = 14
_PLACE_SHIFT: Final = np.uint64(64 - _PLACE_BITS)
_BYTE: Final = np.uint64(0xFF)


@lru_cache(maxsize=16)
def _places_of(sorts: tuple[frozenset[str], ...]) -> tuple[U64, NDArray[np.uint16], np.uint64]:
    """A table in which each start has a place of its own, the bits of each place, and the factor that leads to it (multiplicative
    hashing: Knuth, The Art of Computer Programming 3, 6.4)."""
    of: dict[int, int] = {}
    for i, keys in enumerate(sorts):
        for start in map(_start_of, keys):
            of[start] = of.get(start, 0) | 1 << i
    starts = np.array(sorted(of), np.uint64)
    factor = np.uint64(0x9E3779B97F4A7C15)
    while True:
        at = (starts * factor) >> _PLACE_SHIFT
        if len(np.unique(at)) == len(starts):
            places, bits = np.zeros(1 << _PLACE_BITS, np.uint64), np.zeros(1 << _PLACE_BITS, np.uint16)
            places[at], bits[at] = starts, [of[s] for s in starts.tolist()]
            return places, bits, factor
        factor = np.uint64((int(factor) * 0x5851F42D4C957F2D + 0x14057B7EF767814F | 1) & 0xFFFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True, slots=True)
class Alike:
    """Rows whose attributes are the same bytes, as one. `row` are the rows that have any, `group` says which group each is in,
    `pairs` has the serialized attributes of each group, in their order."""

    row: I64
    group: I64
    pairs: list[tuple[bytes, ...]]


_LONGEST: Final = 96
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_FOLD: Final = np.uint64(29)
_KEPT: Final = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
"""Masks of the first bytes of a word, by how many."""


def alike(spans: SpanBytes, attributes: Attributes) -> Alike:
    """Group the rows of some attributes by what these say: what is said again and again is read once."""
    attributes = attributes.where(np.argsort(attributes.start))
    first = np.flatnonzero(np.diff(attributes.row, prepend=-1))
    if not len(first):
        return Alike(first, first, [])
    within = np.arange(len(attributes.row)) - np.repeat(first, np.diff(np.append(first, len(attributes.row))))
    each = _digests_of(spans.text, attributes.start, attributes.stop - attributes.start)
    digest = np.add.reduceat(each * (within.astype(np.uint64) * np.uint64(2) + _MIX), first)
    _, chosen, group = np.unique(digest, return_index=True, return_inverse=True)
    bounds = np.append(first, len(attributes.row))
    start, stop = attributes.start.tolist(), attributes.stop.tolist()
    pairs = [
        tuple(spans.text[start[i] : stop[i]] for i in range(a, b))
        for a, b in zip(bounds[chosen].tolist(), bounds[chosen + 1].tolist(), strict=True)
    ]
    return Alike(attributes.row[first], group.ravel(), pairs)


def _digests_of(text: bytes, start: I64, size: I64) -> U64:
    """A 64-bit digest of the bytes of each part of a text."""
    words = _words(text, "<u8")
    digest = size.astype(np.uint64) * _MIX
    if not len(size):
        return digest
    shortest, longest = int(size.min()), int(size.max())
    for at in range(0, min(longest, _LONGEST), 8):
        if shortest >= at + 8:
            mixed = (digest ^ words[start + at]) * _MIX
            digest = mixed ^ (mixed >> _FOLD)
            continue
        some = np.flatnonzero(size > at)
        kept = _KEPT[np.minimum(size[some] - at, 8)]
        mixed = (digest[some] ^ (words[start[some] + at] & kept)) * _MIX
        digest[some] = mixed ^ (mixed >> _FOLD)
    for i in np.flatnonzero(size > _LONGEST).tolist() if longest > _LONGEST else ():
        whole = text[start[i] : start[i] + size[i]]
        digest[i] = int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest(), "little")
    return digest


def _plain(data: NDArray[np.uint8], attributes: Attributes, value_first: B1, size: I64, rest: I64) -> B1:
    """Whether a KeyValue is one key and one value, in whichever order, the first of them under 128 bytes long."""
    rest = np.minimum(rest, len(data) - 8)
    second = np.where(value_first, _KEY, _VALUE)
    low, high = data[rest + 1].astype(np.int64), data[rest + 2].astype(np.int64)
    long = low >= 0x80
    end = np.where(long, rest + 3 + (low & 0x7F) + (high << 7), rest + 2 + low)
    first_known = (data[attributes.start] == _KEY) | value_first
    whole = (end == attributes.stop) & ~(long & ((high >= 0x80) | value_first))
    found: B1 = first_known & (size < 0x80) & (rest < attributes.stop) & (data[rest] == second) & whole
    return found
