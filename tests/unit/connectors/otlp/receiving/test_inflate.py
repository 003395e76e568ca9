"""Compressed bodies: every encoding, cut off anywhere, and small ones that become large."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
import zstandard

from connectors.otlp.receiving.inflate import DEFLATE, ENCODINGS, GZIP, ZSTD, encoding_of, inflater, sniffed
from contracts.errors import UndecodableTelemetry

PLAIN = b"\n" + bytes(range(256)) * 20
BOMB = bytes(64 << 20)


def zstd_without_size(data: bytes) -> bytes:
    """As an encoder writes it that does not know the length beforehand."""
    stream = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return (
        stream.compress(data[:100])
        + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        + stream.compress(data[100:])
        + stream.flush()
    )


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


BODIES = {
    "gzip": (GZIP, gzip.compress(PLAIN)),
    "two gzip files": (GZIP, gzip.compress(PLAIN[:99]) + gzip.compress(PLAIN[99:])),
    "zlib": (DEFLATE, zlib.compress(PLAIN)),
    "raw deflate": (DEFLATE, raw_deflate(PLAIN)),
    "zstd": (ZSTD, zstandard.compress(PLAIN)),
    "zstd of unknown size": (ZSTD, zstd_without_size(PLAIN)),
    "two zstd frames": (ZSTD, zstandard.compress(PLAIN[:99]) + zstd_without_size(PLAIN[99:])),
    "a skippable zstd frame": (ZSTD, b"\x50\x2a\x4d\x18\x02\x00\x00\x00ab" + zstandard.compress(PLAIN)),
}


def plain(encoding: str, body: bytes, most: int = 1000) -> bytes:
    """The body decompressed in steps of at most `most` bytes."""
    source, found = inflater(encoding, body), b""
    while step := source.read(most):
        assert len(step) <= most
        found += step
    return found


@pytest.mark.parametrize("name", BODIES)
def test_round_trip(name: str) -> None:
    encoding, body = BODIES[name]
    assert plain(encoding, body) == PLAIN


@pytest.mark.parametrize("name", BODIES)
def test_cut_off_anywhere_is_refused_or_plainly_shorter(name: str) -> None:
    encoding, body = BODIES[name]
    whole = {0}  # a body of several parts may end after one
    for n in range(1, len(body)):
        try:
            found = plain(encoding, body[:n], 100_000)
        except UndecodableTelemetry:
            continue
        whole.add(len(found))
    assert whole <= {0, 99}


@pytest.mark.parametrize("name", BODIES)
def test_damage_never_raises_anything_else(name: str) -> None:
    encoding, body = BODIES[name]
    for at in range(len(body)):
        damaged = body[:at] + bytes([body[at] ^ 0x55]) + body[at + 1 :]
        try:
            plain(encoding, damaged, 100_000)
        except UndecodableTelemetry:
            continue


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, zstandard.compress])
def test_a_bomb_gives_no_more_than_asked_for(compress: Callable[[bytes], bytes]) -> None:
    body = compress(BOMB)
    assert len(body) < len(BOMB) // 500
    source = inflater(sniffed(body), body)
    assert len(source.read(1 << 16)) == 1 << 16


def test_a_zstd_window_has_a_limit() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = stream.compress(b"\nabc") + stream.flush()
    with pytest.raises(UndecodableTelemetry, match="zstd"):
        plain(ZSTD, body)


def test_names_of_encodings() -> None:
    assert [encoding_of(h) for h in ("", "identity", " GZIP ", "x-gzip")] == ["", "", GZIP, GZIP]
    assert [encoding_of(e) for e in ENCODINGS] == list(ENCODINGS)
    assert encoding_of("br") is None
    assert encoding_of("gzip, gzip") is None


def test_what_a_body_begins_with() -> None:
    for name, (encoding, body) in BODIES.items():
        if name not in ("raw deflate", "a skippable zstd frame"):
            assert sniffed(body) == encoding
    assert [sniffed(b) for b in (b"", b"\n", b"{", PLAIN, b"\x1f", b"x")] == [""] * 6
