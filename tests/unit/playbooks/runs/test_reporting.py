"""What the world is told of a run: the change that an effect is, and arguments as audit data."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.ports import TargetState
from playbooks.language.model import Step
from playbooks.runs.plan import Surroundings, plan_of
from playbooks.runs.reporting import change_of, plain
from tests.unit.playbooks.runs.support import RESTART, T0, decision

PLAN = plan_of(decision(), RESTART, now_ns=T0, surroundings=Surroundings())
STATE = TargetState(2, 2, version="1.1", previous_version="1.0")


@pytest.mark.parametrize(
    ("action", "after", "before", "levels", "text"),
    [
        ("restart", {}, STATE, ("", ""), "restart-service: restart cart"),
        ("scale", {"replicas": 3}, STATE, ("2", "3"), "restart-service: scale cart 2 → 3"),
        ("scale", {"replicas": 3}, None, ("", "3"), "restart-service: scale cart  → 3"),
        ("rollback", {"version": "1.0"}, STATE, ("1.1", "1.0"), "restart-service: rollback cart 1.1 → 1.0"),
    ],
)
def test_an_effect_is_told_as_a_change_with_its_levels_where_it_has_any(
    action: str, after: dict[str, Any], before: TargetState | None, levels: tuple[str, str], text: str
) -> None:
    change = change_of(PLAN, Step("do", action), before, after, T0 + 5)
    assert change is not None
    assert (change.environment, change.service, change.run, change.time_ns) == ("test", "cart", PLAN.run, T0 + 5)
    assert (change.before, change.after) == levels
    assert change.text == text


def test_what_changes_nothing_is_no_change() -> None:
    assert change_of(PLAN, Step("rest", "wait"), STATE, {}, T0) is None


def test_arguments_that_json_has_no_word_for_are_told_as_text() -> None:
    scalars = {"a": None, "b": True, "c": 2, "d": 0.5, "e": "x"}
    assert plain(scalars) == scalars
    assert plain({"f": ("x", 1), "g": {"h": 1}}) == {"f": "('x', 1)", "g": "{'h': 1}"}
