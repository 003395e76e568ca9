"""Which service a caller means by the name of a callee: `cart`, `cart.shop.svc.cluster.local`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from contracts.external import EXTERNAL


class Meant(NamedTuple):
    """A service that a name stands for ("": nobody's, or it can't be told), and whether it does for every caller."""

    service: str = ""
    for_all: bool = False


def meant_by(caller: str, named: str, services: AbstractSet[str]) -> Meant:
    """Of these services the one that has this name: in full, else the caller's neighbour of that name, else the only other one whose last
    part it is: who calls a service of its own name does not call itself. A name of the internet is nobody's last part: api.bank.example
    is not the service api."""
    name = named.removeprefix(EXTERNAL)
    if name in services:
        return Meant(name, for_all=True)
    short, _, rest = name.partition(".")
    if rest and not _is_internal(rest, {n.rpartition("/")[0] for n in services}):
        return Meant()
    space = _namespace_in(rest) or caller.rpartition("/")[0]
    if space and (near := f"{space}/{short}") in services and near != caller:
        # The same name elsewhere is another service, and other callers may mean that.
        return Meant(near)
    found = [n for n in services if n.rpartition("/")[2] == short]
    if len(found) == 1:
        return Meant(found[0], for_all=True)
    others = [n for n in found if n != caller]
    return Meant(others[0]) if len(others) == 1 else Meant()


def calls_meant(pairs: Iterable[tuple[str, str]], services: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Callers and callees, under the callees' own names where those are certain: whoever sends no spans is known to its callers by a name that they
    chose. A caller whose spans were joined with those of a service of that name means that one."""
    known = list(pairs)
    joined = {(a, b.rpartition("/")[2]) for a, b in known if not b.startswith(EXTERNAL)}
    for caller, callee in known:
        if not callee.startswith(EXTERNAL):
            yield caller, callee
        elif (caller, callee.removeprefix(EXTERNAL)) not in joined:  # else joined calls tell of it
            yield caller, meant_by(caller, callee, services).service or callee


_INTERNAL: Final = frozenset(
    {"svc", "local", "internal", "lan", "consul", "cluster", "mesh", "intranet", "corp", "docker"}
)


def _is_internal(rest: str, namespaces: set[str]) -> bool:
    """Whether the rest of a host's name, after its first part, is of a cluster's or a house's own names."""
    labels = rest.split(".")
    return labels[0] in namespaces or not _INTERNAL.isdisjoint((labels[-1], *labels[1:2]))


def _namespace_in(rest: str) -> str:
    """The namespace in `<namespace>.svc…`, or in `<namespace>` alone; else ""."""
    labels = rest.split(".")
    return labels[0] if labels[1:2] in ([], ["svc"]) else ""
