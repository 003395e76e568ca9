"""Answers as plain values, the same from every store: None, bool, int, float, str, list, dict."""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """`value` as what JSON can say: times in ISO 8601, bytes in base64, what isn't finite as None, the rest as text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case dt.timedelta():
            return value.total_seconds()
        case _:
            return value.isoformat() if hasattr(value, "isoformat") else str(value)


def properties(values: Mapping[str, Any]) -> dict[str, Any]:
    """A node's or relationship's properties: plain, without those it doesn't have (stores differ in listing them)."""
    return {key: plain(value) for key, value in values.items() if value is not None}


def argument(value: Any) -> Any:
    """A parameter as drivers take it: tuples and sets as lists (sets sorted), subclasses of str (enums) as text."""
    match value:
        case str():
            return str(value)
        case set() | frozenset():
            return sorted(argument(item) for item in value)
        case list() | tuple():
            return [argument(item) for item in value]
        case Mapping():
            return {str(key): argument(item) for key, item in value.items()}
        case _:
            return value
