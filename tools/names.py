"""Names that occur too often: a class's name once in all packages, a module's basename twice at the most.

Whoever searches for a name finds the one thing that it stands for. A class may bear its base's name (an implementation of a port).

    python -m tools.names
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

PACKAGES: Final = ("contracts", "connectors", "models", "graph", "playbooks", "streams", "twin", "homeostat")
MOST: Final = 2
"""Modules of one basename."""
FREE: Final = frozenset({"__init__.py", "__main__.py"})


def main() -> int:
    """Print what is wrong with the names of the packages' modules and classes; 1 if anything is."""
    files = [(p, p.read_text("utf-8")) for package in PACKAGES for p in sorted(Path(package).rglob("*.py"))]
    found = [*repeated_modules(p for p, _ in files), *repeated_classes(files)]
    print("\n".join(found) or f"names: {len(files)} modules, each class by a name of its own")
    return 1 if found else 0


def repeated_modules(paths: Iterable[Path]) -> Iterator[str]:
    """A line for each basename that more than `MOST` modules have."""
    places = defaultdict[str, list[str]](list)
    for path in paths:
        if path.name not in FREE:
            places[path.name].append(path.as_posix())
    for name, where in sorted(places.items()):
        if len(where) > MOST:
            yield f"{name}: {len(where)} modules are called so: {', '.join(where)}"


def repeated_classes(files: Iterable[tuple[Path, str]]) -> Iterator[str]:
    """A line for each name that more than one public class has, none of them being its base."""
    places = defaultdict[str, list[str]](list)
    for path, text in files:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in _bases(node):
                places[node.name].append(f"{path.as_posix()}:{node.lineno}")
    for name, where in sorted(places.items()):
        if len(where) > 1:
            yield f"class {name}: {len(where)} of them: {', '.join(where)}"


def _bases(node: ast.ClassDef) -> set[str]:
    return {
        part.attr if isinstance(part, ast.Attribute) else part.id
        for base in node.bases
        for part in ast.walk(base)
        if isinstance(part, (ast.Attribute, ast.Name))
    }


if __name__ == "__main__":
    sys.exit(main())
