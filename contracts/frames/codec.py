"""Columnar frames as bytes: a msgpack map whose arrays are little-endian buffers, versioned like every event.

A frame is a frozen dataclass whose fields are numpy arrays, strings, integers, or tuples of strings. `pack` and `unpack`
are each other's inverse; the bytes are deterministic (fields in declaration order, C-contiguous arrays).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, TypeVar

import msgspec
import numpy as np

from contracts.errors import UnreadableEvent

F = TypeVar("F")
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder()
_ARRAY = "__nd"
_PLAIN = frozenset({str, int, tuple})
"""Types of values that are written as they are."""


def pack(frame: Any) -> bytes:
    """Bytes of a frame (a dataclass with a class attribute `VERSION`)."""
    kind: Any = type(frame)
    body: dict[str, Any] = {"frame": kind.__name__, "v": kind.VERSION}
    for name in _names(kind):
        value = getattr(frame, name)
        body[name] = value if type(value) in _PLAIN else _plain(value)
    return _ENCODER.encode(body)


@functools.cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def unpack(kind: type[F], payload: bytes) -> F:
    """The frame of class `kind` in `payload`.

    Raises:
        UnreadableEvent: not msgpack, another kind of frame, or a version newer than this code.
    """
    name, version = kind.__name__, getattr(kind, "VERSION", 0)
    try:
        body = _DECODER.decode(payload)
        found, found_version = body.pop("frame"), body.pop("v")
        if found != name or found_version > version:
            raise UnreadableEvent(f"expected {name} v{version}, found {found} v{found_version}")
        for field, value in body.items():
            if type(value) is dict and _ARRAY in value:
                body[field] = _array(value)
            elif type(value) is list:
                body[field] = tuple(value)
        return kind(**body)
    except UnreadableEvent:
        raise
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError) as e:
        raise UnreadableEvent(f"not a {name}: {e}") from e


@functools.cache
def _dtype_name(dtype: np.dtype[Any]) -> str:
    return dtype.newbyteorder("<").str


@functools.lru_cache(64)
def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(name)


@functools.cache
def _no_values(dtype: np.dtype[Any]) -> msgspec.Raw:
    return msgspec.Raw(_ENCODER.encode({_ARRAY: _dtype_name(dtype), "s": (0,), "b": b""}))


@functools.lru_cache(64)
def _empty(name: str) -> np.ndarray[Any, Any]:
    array = np.empty(0, _dtype(name))
    array.flags.writeable = False
    return array


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.shape == (0,):  # most columns of most frames
            return _no_values(value.dtype)
        return {_ARRAY: _dtype_name(value.dtype), "s": value.shape, "b": value.tobytes()}
    if isinstance(value, np.generic):
        return value.item()
    return value


def _array(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    shape = value["s"]
    if shape == [0]:
        return _empty(value[_ARRAY])
    array = np.frombuffer(value["b"], dtype=_dtype(value[_ARRAY]))
    return array if len(shape) == 1 and shape[0] == len(array) else array.reshape(shape)
