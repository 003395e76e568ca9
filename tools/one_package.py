"""The wheel's one top-level package: the repository's folders (`contracts`, `models`, …) lie in it under `homeostat`.

Names such as `models` or `graph` are anybody's: a distribution that installed them would break, or be broken by, an application or a
plugin that has its own. So the build copies each package to `homeostat/<package>` and rewrites what imports them, `from contracts.errors
import Retryable` to `from homeostat.contracts.errors import Retryable`. The statements are found by the parser, not by their looks, and
nothing else is changed, so that line numbers in tracebacks are those of the repository. What can't be rewritten so (`import contracts.errors`,
which binds the name `contracts`) fails the build, and the name of a module in a string is refused by a test of the repository.

An editable installation is left alone: it is the checkout itself.
"""

from __future__ import annotations

import ast
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TOP: Final = "homeostat"
INNER: Final = ("contracts", "connectors", "models", "graph", "playbooks", "streams", "twin")
_LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", "*.py[co]", ".*")


class OnePackage(BuildHookInterface[Any]):
    """Puts the mapped tree into the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the tree and have it included, unless the installation is an editable one."""
        if version == "editable":
            return
        self._stage = Path(tempfile.mkdtemp(prefix="homeostat-wheel-"))
        write_tree(Path(self.root), self._stage / TOP)
        build_data["force_include"][str(self._stage / TOP)] = TOP

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the tree."""
        if version != "editable":
            shutil.rmtree(self._stage)


def write_tree(root: Path, target: Path) -> None:
    """Write the package as it is installed.

    Raises:
        ValueError: a module imports in a way that can't be mapped, or two files would have one place.
    """
    shutil.copytree(root / TOP, target, ignore=_LEFT_OUT)
    for package in INNER:
        if (target / package).exists() or (target / f"{package}.py").exists():
            raise ValueError(f"{TOP}/{package} would be two things in the wheel: give the module of {TOP} another name")
        shutil.copytree(root / package, target / package, ignore=_LEFT_OUT)
    for module in sorted(target.rglob("*.py")):
        before = module.read_text("utf-8")
        after = mapped(before, str(module.relative_to(target.parent)))
        if after != before:
            module.write_text(after, "utf-8")


def mapped(source: str, name: str) -> str:
    """A module's source with imports of the inner packages as they are installed. `name` is its name in messages."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source, name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in INNER:
                    raise ValueError(
                        f"{name}:{node.lineno}: write `from {alias.name} import …`: the name is another in the wheel"
                    )
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] in INNER:
            line = lines[node.lineno - 1]
            head = line[: node.col_offset]  # columns count bytes, and nothing before an import is anything but ASCII
            rest = line[node.col_offset :]
            wanted = f"from {node.module} "
            if not rest.startswith(wanted):
                raise ValueError(f"{name}:{node.lineno}: `{rest.strip()}` can't be mapped; write `{wanted}import …`")
            lines[node.lineno - 1] = f"{head}from {TOP}.{rest.removeprefix('from ')}"
    return "".join(lines)
