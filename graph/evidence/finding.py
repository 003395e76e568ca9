"""What a channel says: this service, for this reason, this strongly."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.verdicts import CauseKind


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to suspect (positive strength) or to clear (negative) a service.

    `kind` is the fault it speaks for (None where it speaks for none in particular); `explained_by` names the callee (or
    caller) that accounts for a symptom that was discounted; `peer` the other end of what is between two, `caller` the one of them that calls.
    """

    service: str
    channel: str
    strength: float
    text: str
    kind: CauseKind | None = None
    explained_by: str = ""
    peer: str = ""
    caller: str = ""
    sure: float = 1.0
    """How probable it is to be of that kind, where the service is to blame: what is left is another kind of fault of it."""
    paths: int = 1
    """Between how many pairs of caller and callee it is: where several calls of one service are lost at once that is no path's doing."""
