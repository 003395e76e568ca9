"""Events as bytes: JSON (readable on any topic), field order as declared, so the same event gives the same bytes."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import msgspec
import numpy as np

from contracts.errors import UnreadableEvent


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's: type checkers take the one for the other, and an event must not be lost for it."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"events hold no {type(value).__name__}")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain, order="deterministic")


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Base of all events: frozen, typed, versioned. `VERSION` grows when a field's meaning changes."""

    VERSION: ClassVar[int] = 1
    version: int = 1


E = TypeVar("E", bound=Event)
_DECODERS: dict[type[Event], msgspec.json.Decoder[Event]] = {}


def encode(event: Event) -> bytes:
    """JSON bytes of an event; deterministic."""
    return _ENCODER.encode(event)


def decode(kind: type[E], payload: bytes) -> E:
    """The event of class `kind` in `payload`. Unknown fields are ignored, older versions are readable.

    Raises:
        UnreadableEvent: not JSON of that shape, or a version newer than this code.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    try:
        event = decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise UnreadableEvent(f"not a {kind.__name__}: {e}") from e
    if event.version > kind.VERSION:
        raise UnreadableEvent(
            f"{kind.__name__} v{event.version} is newer than v{kind.VERSION}", fix="upgrade Homeostat"
        )
    return event  # type: ignore[return-value]
