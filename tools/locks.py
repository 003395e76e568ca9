"""The lock files: write them (`make lock`), or check that they still answer to pyproject.toml (`make check`).

A lock is stale when what pyproject.toml declares for it has changed since it was written, or when a pin falls outside
a declared bound. Both are decided from the files alone, so the check needs no network and no resolver.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
DIGEST = "# declared: sha256:"


@dataclass(frozen=True)
class Lock:
    """One lock file: whether it holds the runtime dependencies, and which dependency groups on top."""

    name: str
    runtime: bool
    groups: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return ROOT / "requirements" / f"{self.name}.lock"


# dev is compiled first and constrains the others, so that a pin is the same wherever it appears.
LOCKS = (
    Lock("dev", runtime=True, groups=("dev",)),
    Lock("runtime", runtime=True),
    Lock("build", runtime=False, groups=("build",)),
)


def read_project() -> dict[str, Any]:
    """pyproject.toml as a dict."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def group_requirements(project: dict[str, Any], group: str) -> Iterator[str]:
    """Requirements of a dependency group with its includes (PEP 735)."""
    for entry in project["dependency-groups"][group]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from group_requirements(project, entry["include-group"])


def declared(project: dict[str, Any], lock: Lock) -> list[str]:
    """Everything pyproject.toml declares for a lock, sorted."""
    wanted = set(project["project"]["dependencies"]) if lock.runtime else set()
    for group in lock.groups:
        wanted.update(group_requirements(project, group))
    return sorted(wanted)


def digest(project: dict[str, Any], lock: Lock) -> str:
    """What a lock answers to, as one hash: its declared requirements and the Python versions supported."""
    subject = json.dumps([project["project"]["requires-python"], declared(project, lock)])
    return hashlib.sha256(subject.encode()).hexdigest()


def pins(text: str) -> dict[str, list[str]]:
    """Pinned versions by canonical name; more than one where the pin depends on a marker."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, separator, rest = line.partition("==")
        if separator and not line.startswith((" ", "#")):
            found.setdefault(canonicalize_name(name), []).append(rest.split()[0])
    return found


def problems(project: dict[str, Any], lock: Lock, text: str) -> Iterator[str]:
    """Why a lock file no longer holds, one sentence each; nothing when it does."""
    where = f"requirements/{lock.name}.lock"
    if f"{DIGEST}{digest(project, lock)}" not in text.splitlines():
        yield f"{where}: pyproject.toml declares something else since it was written; run `make lock`"
    if "://" in text:
        yield f"{where}: names a URL; pins and hashes are enough"
    locked = pins(text)
    for line in declared(project, lock):
        requirement = Requirement(line)
        versions = locked.get(canonicalize_name(requirement.name), [])
        if not versions:
            yield f"{where}: {requirement.name} is not pinned"
        for version in versions:
            if not requirement.specifier.contains(Version(version), prereleases=True):
                yield f"{where}: {requirement.name}=={version} is outside the declared {line}"


def check() -> int:
    """Print what is stale; the exit status says whether anything is."""
    project = read_project()
    found = [problem for lock in LOCKS for problem in problems(project, lock, lock.path.read_text(encoding="utf-8"))]
    print("\n".join(found) or f"locks: {len(LOCKS)} up to date")
    return 1 if found else 0


def write(upgrade: bool) -> int:
    """Compile every lock with uv; versions already pinned stay unless `upgrade`."""
    project = read_project()
    for lock in LOCKS:
        command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--generate-hashes"]
        command += ["--universal", "--python-version", "3.11", "--no-emit-index-url", "--no-emit-find-links"]
        command += ["--no-header", "--output-file", str(lock.path.relative_to(ROOT))]
        for group in lock.groups:
            command += ["--group", group]
        if lock.runtime:
            command.append("pyproject.toml")
        if lock is not LOCKS[0]:
            command += ["--constraint", str(LOCKS[0].path.relative_to(ROOT))]
        if upgrade:
            command.append("--upgrade")
        subprocess.run(command, cwd=ROOT, check=True)
        body = lock.path.read_text(encoding="utf-8")
        header = f"# Written by `make lock` from pyproject.toml; not edited by hand.\n{DIGEST}{digest(project, lock)}\n"
        lock.path.write_text(header + body, encoding="utf-8")
    return check()


def main(arguments: list[str]) -> int:
    """`python -m tools.locks check | write [--upgrade]`."""
    if arguments == ["check"]:
        return check()
    if arguments[:1] == ["write"] and set(arguments[1:]) <= {"--upgrade"}:
        return write(upgrade="--upgrade" in arguments)
    print(main.__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
