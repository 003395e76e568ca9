"""Whether an action may be done, as Rego says: in this process (`rego`) or on an OPA server (`opa`).

Here live the engines and the built-in policy, `default.rego`, which an OPA server can load as it is. Never here: a default
that allows. What policy doesn't decide is denied; what can't be asked raises PolicyUnavailable, and nothing is done.
"""

from __future__ import annotations

from pathlib import Path

from contracts.errors import InvalidSettings
from contracts.ports import PolicyEngine

__all__ = ["open_policy"]


def open_policy(policy: str) -> PolicyEngine:
    """The engine for `settings.act.policy`: the URL of a document of an OPA server, a .rego file, or empty for the built-in policy.

    Raises:
        InvalidSettings: the file can't be read or compiled (with file and line), or the text is neither.
    """
    if policy.startswith(("http://", "https://")):
        from connectors.policy.opa import OpaPolicy

        return OpaPolicy(policy)
    from connectors.policy.rego import RegoPolicy, built_in

    if not policy:
        return built_in()
    path = Path(policy)
    if path.suffix != ".rego":
        raise InvalidSettings(f"act.policy: {policy!r} is no policy", fix="a URL (http://…) or a .rego file")
    return RegoPolicy.from_file(path)
