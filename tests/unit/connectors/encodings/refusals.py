"""What a decoder makes of anything: columns, or the reason why not."""

from __future__ import annotations

from collections.abc import Callable

from contracts.errors import UndecodableTelemetry
from contracts.frames import Decoded


def tried(read: Callable[[], Decoded]) -> Decoded | str:
    """What was read, or the reason of a refusal; anything else that is raised is a fault of the decoder."""
    try:
        return read()
    except UndecodableTelemetry as e:
        return e.reason
