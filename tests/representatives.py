"""Which of many cases that show the same thing `make test` tries; the others are tried by `make test-long`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def representatives(cases: Iterable[Any], *chosen: Any) -> list[Any]:
    """All cases, for `parametrize`: those that are chosen as they are, the others marked `long`. A tuple is a case of several arguments.

    Raises:
        ValueError: nothing is chosen, or something that is no case.
    """
    every = list(cases)
    unknown = [name for name in chosen if name not in [_plain(case) for case in every]]
    if unknown or not chosen:
        raise ValueError(f"no such cases: {unknown}; there are {[_plain(case) for case in every]}")
    return [case if _plain(case) in chosen else _long(case) for case in every]


_CASE = type(pytest.param())


def _plain(case: Any) -> Any:
    """A case as it is written where it has no marks."""
    if not isinstance(case, _CASE):
        return case
    return case.values[0] if len(case.values) == 1 else tuple(case.values)


def _long(case: Any) -> Any:
    if isinstance(case, _CASE):
        return pytest.param(*case.values, marks=[*case.marks, pytest.mark.long], id=case.id)
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.long)
