"""From the document `homeostat` that Rego made to a verdict. What it doesn't say clearly is a no."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from contracts.ports import PolicyVerdict

UNDECIDED: Final = "policy made no decision: homeostat.allow is undefined"


def verdict_of(document: object) -> PolicyVerdict:
    """`document`: {"allow": bool, "deny": [reason, …], "needs_approval": bool}; the last two may be missing."""
    if not isinstance(document, Mapping) or not isinstance(document.get("allow"), bool):
        return PolicyVerdict(False, (UNDECIDED,))
    denials = _reasons(document.get("deny", ()))
    needs_approval = document.get("needs_approval", False) is not False
    if denials or not document["allow"]:
        silent = not denials and not needs_approval
        return PolicyVerdict(False, ("policy does not allow it",) if silent else denials, needs_approval)
    return PolicyVerdict(True, (), needs_approval)


def _reasons(deny: Any) -> tuple[str, ...]:
    """Sorted, for Rego's sets have no order. Whatever shape a policy gives its denials in, none is lost."""
    if isinstance(deny, bool):
        return ("denied",) if deny else ()
    if isinstance(deny, Mapping):
        return tuple(sorted(f"{k}: {v}" for k, v in deny.items()))
    if isinstance(deny, str) or not isinstance(deny, (list, tuple)):
        return () if deny in {None, ""} else (str(deny),)
    return tuple(sorted(str(reason) for reason in deny))
