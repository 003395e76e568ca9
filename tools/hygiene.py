"""What no tracked file may hold: secrets, paths of somebody's machine, package-registry hosts, leftovers of a merge."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 2_000_000

FORBIDDEN = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a cloud access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "an access token": re.compile(
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|glpat-[\w-]{20,}|xox[abprs]-[\w-]{10,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.)"
    ),
    # `user:password@` itself is how documentation writes the form
    "a password in a URL": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s:/@'\"{}$<>]+:(?!password@)[^\s:/@'\"{}$<>]+@"),
    "a path of one machine": re.compile(r"(?<![\w.~}*-])/(?:home|Users|root|work)/\w"),
    "a package-registry host": re.compile(
        r"(?:pypi\.org|pythonhosted\.org|(?:proxy|sum)\.golang\.org|repo1?\.maven\.|registry\.npmjs\.|static\.crates\.io)"
    ),
    "a merge conflict": re.compile(r"^(?:<{7} |>{7} |={7}$)", re.MULTILINE),
}


def tracked() -> list[Path]:
    """Every tracked file that is in the work tree, relative to the root."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in listing.split("\0") if name and (ROOT / name).is_file()]


def text_problems(text: str) -> Iterator[tuple[int, str]]:
    """Line number and kind of everything forbidden in a text."""
    for kind, pattern in FORBIDDEN.items():
        for found in pattern.finditer(text):
            yield text.count("\n", 0, found.start()) + 1, kind


def file_problems(path: Path, content: bytes) -> Iterator[str]:
    """Everything wrong with one file, as `path:line: holds …`. Binary files are only weighed."""
    if len(content) > MAX_BYTES:
        yield f"{path}: {len(content)} bytes; large data does not belong in the repository"
    if b"\0" in content:
        return
    try:
        text = content.decode()
    except UnicodeDecodeError:
        yield f"{path}: neither binary nor UTF-8"
        return
    for line, kind in sorted(text_problems(text)):
        yield f"{path}:{line}: holds {kind}"


def main() -> int:
    """Print every problem; the exit status says whether there was one."""
    paths = tracked()
    problems = [problem for path in paths for problem in file_problems(path, (ROOT / path).read_bytes())]
    print("\n".join(problems) or f"hygiene: {len(paths)} files clean")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
