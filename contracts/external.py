"""How a callee is called that nobody answers for: by the name that its callers chose, behind a prefix; and which service may be meant by it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

EXTERNAL: Final = "external:"
"""Prefix of such a name: `external:api.bank.example`."""
_INTERNAL: Final = frozenset(
    {"svc", "local", "internal", "lan", "consul", "cluster", "mesh", "intranet", "corp", "docker"}
)


def meant_by(named: str, caller: str, own: Collection[str]) -> tuple[str, bool]:
    """The one of the services with telemetry of their own (`own`) that a caller means by a name, "" where that is nobody or not certain; and
    whether any caller would mean it. The service of that name in full; else the caller's neighbour of that name, else the only other one
    whose last part it is: who calls a service of its own name does not call itself. A name of the internet is nobody's last part:
    api.bank.example is not the service api."""
    name = named.removeprefix(EXTERNAL)
    if name in own:
        return name, True
    short, _, rest = name.partition(".")
    if rest and not _is_internal(rest, {n.rpartition("/")[0] for n in own}):
        return "", False
    space = _namespace_in(rest) or caller.rpartition("/")[0]
    if space and f"{space}/{short}" != caller and f"{space}/{short}" in own:
        # The same name elsewhere is another service, and other callers may mean that.
        return f"{space}/{short}", False
    found = [n for n in own if n.rsplit("/", 1)[-1] == short]
    if len(found) == 1:
        return found[0], True
    others = [n for n in found if n != caller]
    return (others[0], False) if len(others) == 1 else ("", False)


def calls_meant(pairs: Iterable[tuple[str, str]], own: Collection[str]) -> Iterator[tuple[str, str]]:
    """Callers and callees, under the callees' own names where those are certain: whoever sends no spans is known to its callers by a name that they
    chose. A caller whose spans were joined with those of a service of that name means that one."""
    known = list(pairs)
    joined: dict[tuple[str, str], set[str]] = {}
    for caller, callee in known:
        if not callee.startswith(EXTERNAL):
            joined.setdefault((caller, callee.rsplit("/", 1)[-1]), set()).add(callee)
    for caller, callee in known:
        if not callee.startswith(EXTERNAL):
            yield caller, callee
        elif not joined.get((caller, callee.removeprefix(EXTERNAL))):  # else joined calls tell of it
            yield caller, meant_by(callee, caller, own)[0] or callee


def _is_internal(rest: str, namespaces: set[str]) -> bool:
    """Whether the rest of a host's name, after its first part, is of a cluster's or a house's own names."""
    labels = rest.split(".")
    return labels[0] in namespaces or not _INTERNAL.isdisjoint((labels[-1], *labels[1:2]))


def _namespace_in(rest: str) -> str:
    """The namespace in `<namespace>.svc…`, or in `<namespace>` alone; else ""."""
    labels = rest.split(".")
    return labels[0] if labels[1:2] in ([], ["svc"]) else ""
