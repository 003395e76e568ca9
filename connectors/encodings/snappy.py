"""Snappy's block format, as Prometheus compresses remote writes (https://github.com/google/snappy/blob/main/format_description.txt)."""

from __future__ import annotations

from typing import Final

import cramjam

from connectors.otlp.reasons import TOO_LARGE, WRONG_SNAPPY, refuse

_MOST_BYTES_OF_LENGTH: Final = 5


def length_of(block: bytes) -> int | None:
    """How long a block says it is when decompressed; None where it says nothing that can be read."""
    value = 0
    for i, byte in enumerate(block[:_MOST_BYTES_OF_LENGTH]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value if value < 1 << 32 else None
    return None


def decompressed(block: bytes, most: int) -> bytes:
    """A block, decompressed.

    Raises:
        UndecodableTelemetry: it is none, or longer than `most` bytes.
    """
    length = length_of(block)
    if length is not None and length > most:
        raise refuse(TOO_LARGE, f"{length} bytes after decompression, at most {most}")
    try:
        found = bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as e:
        raise refuse(WRONG_SNAPPY, str(e)) from e
    if len(found) != length:
        raise refuse(WRONG_SNAPPY, f"{len(found)} bytes instead of {length}")
    return found
