"""State of models as bytes: msgpack of plain values and arrays, versioned. Nothing in it can run."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from contracts.errors import UnreadableEvent

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder()
_ARRAY = "__nd"


def save(kind: str, version: int, body: dict[str, Any]) -> bytes:
    """Bytes of `body`: str, int, float, bool, None, bytes, lists, dicts with string keys, and numpy arrays."""
    return _ENCODER.encode({"kind": kind, "v": version, "body": _plain(body)})


def load(kind: str, version: int, state: bytes) -> dict[str, Any]:
    """The body `save` was given; lists come back as lists, arrays writable.

    Raises:
        UnreadableEvent: not a snapshot, of another kind, or newer than `version`.
    """
    try:
        whole = _DECODER.decode(state)
        found, found_version, body = whole["kind"], whole["v"], whole["body"]
    except (msgspec.DecodeError, KeyError, TypeError) as e:
        raise UnreadableEvent(f"not a snapshot of {kind}: {e}") from e
    if found != kind or found_version > version:
        raise UnreadableEvent(f"expected a snapshot of {kind} v{version}, found {found} v{found_version}")
    try:
        restored: dict[str, Any] = _rich(body)
    except (TypeError, ValueError, KeyError) as e:
        raise UnreadableEvent(f"a damaged snapshot of {kind}: {e}") from e
    return restored


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        return {_ARRAY: array.dtype.newbyteorder("<").str, "s": list(array.shape), "b": array.tobytes()}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _rich(value: Any) -> Any:
    if isinstance(value, dict):
        if _ARRAY in value:
            return np.frombuffer(value["b"], dtype=np.dtype(value[_ARRAY])).reshape(value["s"]).copy()
        return {k: _rich(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rich(v) for v in value]
    return value
