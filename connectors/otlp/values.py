"""Attribute values of both encodings as plain Python values, and plain values as stable text."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sized
from functools import lru_cache, wraps
from typing import Any, Final, ParamSpec, TypeVar, cast

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from connectors.otlp.schema import Pair, Text

Plain = None | str | bool | int | float | bytes | list[Any] | dict[str, Any]
MAX_VALUE: Final = 4096
"""Characters of an attribute that are read: whoever sends may send megabytes, and texts are looked at from their beginning."""
MAX_DEPTH = 16
"""Deeper values are cut off: nobody identifies a service by them."""


P = ParamSpec("P")
R = TypeVar("R")


def cached(maxsize: int, longest: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A cache for a function whose first argument was sent by somebody: what is longer than `longest` is not kept, so that no sender
    can fill memory with few large values."""

    def of(function: Callable[P, R]) -> Callable[P, R]:
        kept = lru_cache(maxsize=maxsize)(function)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if len(cast("Sized", args[0])) > longest:
                return function(*args, **kwargs)
            return kept(*args, **kwargs)  # type: ignore[arg-type]

        return call

    return of


def from_proto(value: Any, depth: int = 0) -> Plain:
    """Plain value of a protobuf AnyValue."""
    which = value.WhichOneof("value")
    if which == "kvlist_value":
        return {p.key: from_proto(p.value, depth + 1) for p in value.kvlist_value.values} if depth < MAX_DEPTH else None
    if which == "array_value":
        return [from_proto(v, depth + 1) for v in value.array_value.values] if depth < MAX_DEPTH else None
    return getattr(value, which) if which else None


def from_bytes(serialized: bytes) -> Plain:
    """Plain value of a serialized AnyValue. Text that is not UTF-8 is kept as far as it can be read.

    Raises:
        DecodeError: it is not an AnyValue.
    """
    try:
        return from_proto(AnyValue.FromString(serialized))
    except DecodeError:
        text = Text.FromString(serialized).string_value
        if not text:
            raise
        return text.decode("utf-8", "replace")  # type: ignore[no-any-return]


def pairs_from_bytes(attributes: Iterable[bytes], wanted: frozenset[str] | None = None) -> dict[str, Plain]:
    """Attributes of serialized KeyValues: those that are wanted (None: all) and can be read."""
    found: dict[str, Plain] = {}
    for serialized in attributes:
        pair = _short_pair(serialized) if len(serialized) <= _SHORT else _pair(serialized)
        if pair is not None and (wanted is None or pair[0] in wanted):
            found[pair[0]] = pair[1]
    return found


def _pair(serialized: bytes) -> tuple[str, Plain] | None:
    try:
        pair = Pair.FromString(serialized)
        return pair.key.decode("utf-8", "replace"), short(from_bytes(pair.value))
    except DecodeError:
        return None


# Short attributes (systems, names, hosts, ports, codes) are the same ones again and again; long ones are queries and URLs.
_SHORT: Final = 64
_short_pair: Final = lru_cache(maxsize=8192)(_pair)


def short(value: Plain) -> Plain:
    """The value; of a long text its beginning."""
    return value[:MAX_VALUE] if isinstance(value, str) and len(value) > MAX_VALUE else value


def text_of(value: Plain) -> str:
    """Stable text of a value: the same value gives the same text whatever the order of its keys and its encoding."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return repr(int(value)) if math.isfinite(value) and value == int(value) else repr(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 1 << 64 else hex(value)
    return json.dumps(_jsonable(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def number_of(value: Plain) -> float | None:
    """The number in a value, also where it was written as text; None where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _jsonable(value: Plain) -> Any:
    if isinstance(value, dict):
        return {k: _jsonable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_jsonable(v) for v in value]
    return value.hex() if isinstance(value, bytes) else value


def first_of(attributes: Mapping[str, Plain], keys: Iterable[str]) -> str:
    """The first of these attributes as text; of several values the first; "" where there is none."""
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, list):
            value = value[0] if value else None
        if value not in (None, ""):
            return text_of(value)
    return ""
