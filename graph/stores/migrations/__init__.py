"""Schema steps of the graph stores: `<store>/<number>_<name>.cypher`, applied once each, in order."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from contracts.errors import Permanent
from graph.cypher.tokens import statements


@dataclass(frozen=True, slots=True)
class Migration:
    """One schema step."""

    version: int
    name: str
    statements: tuple[str, ...]


def migrations(store: str) -> list[Migration]:
    """All steps of a store, in order."""
    folder = resources.files(__name__).joinpath(store)
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".cypher")), key=lambda f: f.name)
    return [
        Migration(int(f.name[:4]), f.name[5:].removesuffix(".cypher"), tuple(statements(f.read_text("utf-8"))))
        for f in files
    ]


def pending(store: str, version: int) -> list[Migration]:
    """The steps a store at `version` still needs.

    Raises:
        Permanent: the store was written by a later release.
    """
    steps = migrations(store)
    if version > steps[-1].version:
        raise Permanent(
            f"the {store} graph has schema version {version}, this release knows up to {steps[-1].version}",
            reason="newer_schema",
            fix="upgrade Homeostat, or give it another graph",
        )
    return [step for step in steps if step.version > version]
