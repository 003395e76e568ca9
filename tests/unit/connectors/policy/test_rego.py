"""Rego in this process: the shipped checks on the built-in policy, one's own policies, and mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.policy import open_policy
from connectors.policy.rego import RegoPolicy
from connectors.policy.verdict import UNDECIDED, verdict_of
from contracts.checks import policy
from contracts.errors import InvalidSettings, PolicyUnavailable


@pytest.mark.parametrize("check", policy.CHECKS)
async def test_built_in(check: policy.Check) -> None:
    await check(lambda: open_policy(""))


async def test_own_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.rego"
    file.write_text('package homeostat\n\nallow := input.environment == "staging"\n')
    engine = open_policy(str(file))
    assert (await engine.evaluate({"environment": "staging"})).allowed
    refused = await engine.evaluate({"environment": "production"})
    assert (refused.allowed, refused.denials) == (False, ("policy does not allow it",))
    assert (await engine.evaluate({})).denials == (UNDECIDED,)


BROKEN = {
    "package homeostat\n\nallow if {\n  input.x ==\n}\n": r"p\.rego:4:11: Invalid boolean operator: input\.x ==",
    "package homeostat\nallow if input.a ? 3\n": r"p\.rego:2:7: Invalid rule head",
    "package homeostat\nallow := missing(input)\n": r"p\.rego: can't be evaluated",
    "package other\nallow := true\n": "package homeostat",
    "": "package homeostat",
}


@pytest.mark.parametrize("text", BROKEN)
def test_broken_policy_says_where(text: str, tmp_path: Path) -> None:
    file = tmp_path / "p.rego"
    file.write_text(text)
    with pytest.raises(InvalidSettings, match=BROKEN[text]):
        open_policy(str(file))


def test_no_policy(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="can't read"):
        open_policy(str(tmp_path / "missing.rego"))
    with pytest.raises(InvalidSettings, match=r"\.rego file"):
        open_policy("opa:8181")


async def test_rules_that_contradict_each_other_decide_nothing() -> None:
    engine = RegoPolicy("p.rego", "package homeostat\nallow := true if input.a\nallow := false if input.b\n")
    assert (await engine.evaluate({"a": 1})).allowed
    with pytest.raises(PolicyUnavailable):
        await engine.evaluate({"a": 1, "b": 1})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["allow", "deny", "needs_approval", "x"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_only_a_plain_yes_allows(document: object) -> None:
    verdict = verdict_of(document)
    if verdict.allowed:
        assert isinstance(document, dict)
        assert document["allow"] is True
        assert not document.get("deny")
        assert verdict.denials == ()
    else:
        assert verdict.denials or verdict.needs_approval
