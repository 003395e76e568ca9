"""Each kind of thing that must not be committed is recognised, and what only looks like it is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import hygiene

# Written in halves: this file is checked too.
BAD = {
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "a cloud access key": "AKIA" + "A1B2C3D4E5F6G7H8",
    "an access token": "gh" + "p_" + "a" * 36,
    "a password in a URL": "postgres:" + "//admin:hunter2@db/x",
    "a path of one machine": "/ho" + "me/somebody/x",
    "a package-registry host": "py" + "pi.org",
    "a merge conflict": "<" * 7 + " HEAD",
}


@pytest.mark.parametrize("kind", hygiene.FORBIDDEN)
def test_forbidden_is_found(kind: str) -> None:
    problems = list(hygiene.file_problems(Path("f"), f"one\n{BAD[kind]}\n".encode()))
    assert problems == [f"f:2: holds {kind}"]


@pytest.mark.parametrize(
    "line",
    [
        "http://localhost:8790/status",
        "redis://user:${PASSWORD}@cache",
        "bolt://neo4j:7687 user@example.org",
        "bolt://user:password@host:7687",
        "GET /api/home/list",
        "framework/ and homework/",
        "==========",
        "=======================",
        "pypi is a registry",
    ],
)
def test_look_alikes_pass(line: str) -> None:
    assert list(hygiene.file_problems(Path("f"), line.encode())) == []


def test_large_and_undecodable_files_are_named() -> None:
    assert list(hygiene.file_problems(Path("f"), b"\0" * 3_000_000)) == [
        "f: 3000000 bytes; large data does not belong in the repository"
    ]
    assert list(hygiene.file_problems(Path("f"), b"caf\xe9")) == ["f: neither binary nor UTF-8"]
