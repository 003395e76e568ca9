"""Whether an action may be done, as Rego says: in this process (`rego`) or on an OPA server (`opa`).

Here live the engines and the built-in policy, `default.rego`, which an OPA server can load as it is. Never here: a default
that allows. What policy doesn't decide is denied; what can't be asked raises PolicyUnavailable, and nothing is done.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from contracts.errors import InvalidSettings
from contracts.plugins import NO_SECTIONS, PluginRegistry, PluginSections
from contracts.ports import PolicyEngine

__all__ = ["POLICIES", "engine_of", "open_policy"]


def _opa(policy: str) -> PolicyEngine:
    from connectors.policy.opa import OpaPolicy

    return OpaPolicy(policy)


def _rego(policy: str) -> PolicyEngine:
    from connectors.policy.rego import RegoPolicy, built_in

    return RegoPolicy.from_file(Path(policy)) if policy else built_in()


POLICIES: Final[PluginRegistry[str, PolicyEngine]] = PluginRegistry(
    "policy", {"opa": _opa, "rego": _rego}, PolicyEngine
)
"""Engines by name. The settings of their kind are the text of `act.policy`."""


def open_policy(policy: str, plugins: PluginSections = NO_SECTIONS) -> PolicyEngine:
    """The engine for `settings.act.policy`: the URL of a document of an OPA server, a .rego file, the name of a plugin
    registered under the entry point `homeostat.policy`, or empty for the built-in policy.

    Raises:
        InvalidSettings: the file can't be read or compiled (with file and line), or the text is none of these.
        InvalidPlugin: a plugin can't be loaded.
    """
    name = engine_of(policy)
    if name != policy:
        return POLICIES.open(name, policy)
    installed = POLICIES.installed()
    if name in installed:
        return POLICIES.open(name, policy, plugins)
    known = ", ".join(installed) or "none is installed"
    raise InvalidSettings(
        f"act.policy: {policy!r} is no policy", fix=f"a URL (http://…), a .rego file, or the name of a plugin ({known})"
    )


def engine_of(policy: str) -> str:
    """The name of the engine that `act.policy` means."""
    if policy.startswith(("http://", "https://")):
        return "opa"
    return "rego" if not policy or Path(policy).suffix == ".rego" else policy
