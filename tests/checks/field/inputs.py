"""The small inputs from the field that lie beside the repository; tests of them are skipped where they are not there."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[4] / "shared" / "field" / "inputs"


def lines_of(number: str) -> list[bytes]:
    """The messages of an input, by its number (`F19`)."""
    return [line for line in _text(_path(number)).splitlines() if line.strip()]


def recording(number: str) -> Path:
    """The path of a recording."""
    return _path(number)


def _path(number: str) -> Path:
    found = sorted(FOLDER.glob(f"{number}-*")) if FOLDER.is_dir() else []
    if not found:
        pytest.skip(
            f"../shared/field/inputs has no {number}: inputs from the field are handed over beside the repository"
        )
    return found[0]


def _text(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
