"""A distribution with plugins, as an installer lays it: a module and its metadata in a folder of the import path."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from contracts.actions import registry


def install(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    name: str,
    source: str,
    points: Mapping[str, str],
    version: str = "1.0",
) -> None:
    """Lay the distribution `name` with the module `name_` of this `source` into `folder`, and let it be found during a test.

    `points`: `kind.name` -> what the entry point leads to in the module.
    """
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(source, "utf-8")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    lines: list[str] = []
    for point, target in points.items():
        kind, _, called = point.partition(".")
        lines += [f"[homeostat.{kind}]", f"{called} = {module}{target}"]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", "utf-8")
    if str(folder) not in sys.path:
        monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, module, raising=False)
    started_anew(monkeypatch)


def started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the actions that are installed looked for again, as in a new process: each asks once. Afterwards all is as before."""
    monkeypatch.setattr(registry, "_loaded", None)
