"""Identities where no object has one, and that what is acted on is what was asked about."""

from __future__ import annotations

from typing import Final

from connectors.paths import shown
from contracts.errors import Conflict, InvalidTarget
from contracts.ports import Identity, StepRequest, Target

_LONGEST: Final = 255


def by_name(scope: str, target: Target) -> Identity:
    """A service by its name in its environment, which is all there is to know of it where no object is touched.

    Raises:
        InvalidTarget: nobody could read the name as it is.
    """
    for name, what in ((target.service, "service"), (target.environment, "environment")):
        if not 0 < len(name) <= _LONGEST or not name.isprintable():
            raise InvalidTarget(f"{shown(name)} can't be the name of a {what}")
    return Identity(f"{scope}:{target.environment}", "service", target.service)


def ensure_meant(request: StepRequest, now: Identity) -> None:
    """Raises Conflict where a target is not, or no longer, what the request was allowed for."""
    asked = request.identity
    if asked is not None and asked != now:
        uids = "" if asked.uid == now.uid else f" (uid {asked.uid}, now {now.uid})"
        raise Conflict(f"{request.target.service} was {asked.words}, and is {now.words}{uids}")
