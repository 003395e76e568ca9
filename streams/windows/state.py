"""Snapshots of stage state: versioned msgpack, arrays as raw buffers (an extension type). Nothing executable inside."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from contracts.errors import UnreadableEvent

_ARRAY = 1


def _pack_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        head = (array.dtype.newbyteorder("<").str, list(array.shape), array.tobytes())
        return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode(head))
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} cannot be part of a snapshot")


def _unpack_array(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        raise ValueError(f"unknown extension type {code}")
    dtype, shape, buffer = msgspec.msgpack.decode(data)
    return np.frombuffer(buffer, dtype=np.dtype(dtype)).reshape(shape).copy()


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_pack_array)
_DECODER = msgspec.msgpack.Decoder(ext_hook=_unpack_array)


def dump(kind: str, version: int, body: dict[str, Any]) -> bytes:
    """Bytes of a state: plain values, lists, dicts and numpy arrays of plain dtypes."""
    return _ENCODER.encode({"state": kind, "v": version, "body": body})


def load(kind: str, version: int, payload: bytes) -> dict[str, Any]:
    """The body that `dump` was given (tuples come back as lists, arrays are writable).

    Raises:
        UnreadableEvent: not such a snapshot, or of another version.
    """
    try:
        found = _DECODER.decode(payload)
        if found["state"] != kind or found["v"] != version:
            raise UnreadableEvent(f"expected the state {kind} v{version}, found {found['state']} v{found['v']}")
        body: dict[str, Any] = found["body"]
        return body
    except UnreadableEvent:
        raise
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as e:
        raise UnreadableEvent(f"not a state of {kind}: {e}") from e
