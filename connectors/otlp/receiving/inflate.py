"""Decompression of request bodies, step by step, so that a small body cannot become a large one unnoticed.

Encodings are those of OTLP senders: gzip, deflate (zlib, or raw as some write it) and zstd.
https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1, https://www.rfc-editor.org/rfc/rfc8878
"""

from __future__ import annotations

import zlib
from typing import Final, Protocol

import zstandard

from connectors.otlp.reasons import NOT_OTLP, refuse

GZIP, DEFLATE, ZSTD = "gzip", "deflate", "zstd"
ENCODINGS: Final = (GZIP, DEFLATE, ZSTD)
MAX_WINDOW: Final = 8 * 1024 * 1024
"""Largest zstd window: what RFC 9659 allows on HTTP. The decompressor holds that much besides what it gives."""
_MAGIC: Final = ((b"\x1f\x8b", GZIP), (b"\x28\xb5\x2f\xfd", ZSTD))
_ALIASES: Final = {"": "", "identity": "", "x-gzip": GZIP, **{e: e for e in ENCODINGS}}
_SKIPPABLE: Final = 0x184D2A50


class Inflater(Protocol):
    """One compressed body on its way to plain bytes."""

    def read(self, most: int) -> bytes:
        """At most `most` more bytes; b"" at the end.

        Raises:
            UndecodableTelemetry: it is not so compressed, damaged, or cut off.
        """
        ...


def encoding_of(header: str) -> str | None:
    """The encoding that a Content-Encoding header names: "" for none, None where it is not known."""
    return _ALIASES.get(header.strip().lower())


def sniffed(body: bytes) -> str:
    """The encoding a body begins with; "" for none. No OTLP message begins like one: it starts with 0x0a or `{`."""
    for magic, encoding in _MAGIC:
        if body.startswith(magic):
            return encoding
    zlib_header = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return DEFLATE if zlib_header else ""


def inflater(encoding: str, body: bytes) -> Inflater:
    """Decompresses `body`.

    Raises:
        UndecodableTelemetry: a zstd body that is damaged or cut off.
    """
    return _Zstd(body) if encoding == ZSTD else _Zlib(encoding, body)


class _Zlib:
    def __init__(self, encoding: str, body: bytes) -> None:
        self._encoding, self._rest = encoding, body
        raw = encoding == DEFLATE and not sniffed(body)
        self._bits = 31 if encoding == GZIP else -15 if raw else 15
        self._stream = zlib.decompressobj(self._bits)

    def read(self, most: int) -> bytes:
        """See `Inflater`."""
        while True:
            if self._stream.eof:
                if self._encoding != GZIP or not self._stream.unused_data:
                    return b""
                self._rest = self._stream.unused_data  # a gzip file may be several
                self._stream = zlib.decompressobj(self._bits)
            try:
                found = self._stream.decompress(self._rest, most)
            except zlib.error as e:
                raise refuse(NOT_OTLP, f"content encoding {self._encoding}: {e}") from e
            self._rest = self._stream.unconsumed_tail
            if found:
                return found
            if not self._stream.eof:
                raise refuse(NOT_OTLP, f"content encoding {self._encoding}: it ends too early")


class _Zstd:
    def __init__(self, body: bytes) -> None:
        if not _whole_frames(body):
            raise refuse(NOT_OTLP, "content encoding zstd: damaged, or it ends too early")
        decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        self._reader = decompressor.stream_reader(body, read_across_frames=True)

    def read(self, most: int) -> bytes:
        """See `Inflater`."""
        try:
            return self._reader.read(most)
        except zstandard.ZstdError as e:
            raise refuse(NOT_OTLP, f"content encoding zstd: {e}") from e


def _whole_frames(body: bytes) -> bool:
    """Whether the frames of a zstd body end where it does: the reader takes a cut-off one without a word (RFC 8878, 3.1)."""
    at = 0
    while at < len(body):
        magic = int.from_bytes(body[at : at + 4], "little")
        if magic & 0xFFFFFFF0 == _SKIPPABLE:
            at += 8 + int.from_bytes(body[at + 4 : at + 8], "little")
            continue
        try:
            at = _end_of_frame(body, at)
        except (zstandard.ZstdError, IndexError):
            return False
    return at == len(body) > 0


def _end_of_frame(body: bytes, at: int) -> int:
    checksum = body[at + 4] & 0x04
    at += zstandard.frame_header_size(body[at : at + 18])
    while True:
        header = body[at] | body[at + 1] << 8 | body[at + 2] << 16
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == 1 else size)
        if last:
            return at + (4 if checksum else 0)
