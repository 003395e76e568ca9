"""A lock that no longer answers to pyproject.toml is noticed, with what to do about it."""

from __future__ import annotations

import pytest

from tools import locks

PROJECT = {
    "project": {"requires-python": ">=3.11", "dependencies": ["numpy>=2", "ruamel.yaml>=0.18"]},
    "dependency-groups": {"build": ["hatchling>=1"], "dev": [{"include-group": "build"}, "pytest>=9"]},
}
RUNTIME = locks.Lock("runtime", runtime=True)


def text(*pins: str, digest: str | None = None) -> str:
    digest = digest or locks.digest(PROJECT, RUNTIME)
    return "\n".join(
        [f"{locks.DIGEST}{digest}", *(f"{pin} \\\n    --hash=sha256:00\n    # via homeostat" for pin in pins)]
    )


def test_declared_follows_included_groups() -> None:
    assert locks.declared(PROJECT, locks.Lock("dev", runtime=False, groups=("dev",))) == ["hatchling>=1", "pytest>=9"]


def test_a_fresh_lock_has_no_problems() -> None:
    markers = ("numpy==2.4.6 ; python_full_version < '3.12'", "numpy==2.5.0 ; python_full_version >= '3.12'")
    assert list(locks.problems(PROJECT, RUNTIME, text(*markers, "ruamel-yaml==0.19.1"))) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text("numpy==2.4", "ruamel-yaml==0.19", digest="0"), "declares something else since it was written"),
        (text("numpy==2.4"), "ruamel.yaml is not pinned"),
        (text("numpy==1.26", "ruamel-yaml==0.19"), "numpy==1.26 is outside the declared numpy>=2"),
        (text("numpy==2.4", "ruamel-yaml==0.19") + "\n--index-url " + "https" + "://example.org", "names a URL"),
    ],
)
def test_a_stale_lock_says_why(content: str, message: str) -> None:
    (problem,) = locks.problems(PROJECT, RUNTIME, content)
    assert problem.startswith("requirements/runtime.lock: ")
    assert message in problem


def test_a_pin_is_the_same_in_every_lock() -> None:
    everywhere = [locks.pins(lock.path.read_text()) for lock in locks.LOCKS]
    for found in everywhere[1:]:
        assert {name: everywhere[0].get(name) for name in found} == found
