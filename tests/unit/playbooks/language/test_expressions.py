"""Conditions and arguments: checked when read, evaluated without ever raising."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from contracts.ports import Target, TargetState
from playbooks.language.expressions import check, evaluate, resolve
from playbooks.language.unmet import unmet
from playbooks.language.variables import ARGUMENT_VARIABLES, VARIABLES, argument_scope

SCOPE = {
    "replicas": 3,
    "features": {"latency_p95": 2.0},
    "expected.high": {"latency_p95": 0.5},
    "changes": [{"kind": "deploy", "service": "cart", "age_s": 30.0}],
    "service.name": "cart",
    "service.attributes": {"k8s.namespace.name": "shop"},
    "cause.probability": 0.7,
    "cause.instance": "",
}


@pytest.mark.parametrize(
    "text",
    [
        "replicas < 5",
        'features["latency_p95"] > 2.0 * expected.high["latency_p95"]',
        'changes.exists(c, c.kind == "deploy" && c.age_s < 600.0)',
        'service.attributes["k8s.namespace.name"].startsWith("sh") && cause.probability > 0.5',
        '!("queue_lag" in features)',
    ],
)
def test_a_condition_that_holds(text: str):
    assert check(text, ("bool",)) == []
    assert evaluate(text, SCOPE).value is True
    assert unmet(text, SCOPE) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ready > 1", "it takes ready > 1, and ready is not known"),
        ('features["queue_lag"] > 1.0', 'it takes features["queue_lag"] > 1.0, and queue_lag is not known'),
        ("replicas / 0 == 1", "it takes replicas / 0 == 1, and divide by zero"),
        ("replicas > 10", "it takes replicas > 10, and replicas is 3"),
        ("replicas < 5 && replicas > 10", "it takes replicas > 10, and replicas is 3"),
        ('cause.instance != "" && replicas > 1', 'it takes cause.instance != "", and cause.instance is empty'),
        ("replicas > 10 || replicas < 1", "it takes replicas > 10 || replicas < 1, and replicas is 3"),
        ('service.name == "a && b"', 'it takes service.name == "a && b", and service.name is "cart"'),
        (
            'features["latency_p95"] > 9.0 * expected.high["latency_p95"]',
            (
                'it takes features["latency_p95"] > 9.0 * expected.high["latency_p95"], and features["latency_p95"] is 2'
                ' and expected.high["latency_p95"] is 0.5'
            ),
        ),
        ('changes.exists(c, c.nope == "x")', 'it takes changes.exists(c, c.nope == "x"), and nope is not known'),
        (
            'changes.exists(c, c.kind == "flag" && c.age_s < 6.0)',
            'it takes changes.exists(c, c.kind == "flag" && c.age_s < 6.0), and changes has 1',
        ),
    ],
)
def test_what_does_not_hold_says_which_part_of_it_and_what_is_so_instead(text: str, reason: str):
    assert unmet(text, SCOPE) == reason


def test_arguments_take_the_type_of_their_expression():
    scope = {"replicas": 3, "service.name": "cart"}
    given = {"replicas": "${{ replicas + 2 }}", "args": ["--of=${{ service.name }}"], "plain": 1}
    assert resolve(given, scope) == ({"replicas": 5, "args": ["--of=cart"], "plain": 1}, [])


def test_an_argument_that_cannot_be_computed_says_why():
    values, errors = resolve({"replicas": "${{ replicas }}"}, {})
    assert values == {"replicas": None}
    assert errors == ["${{ replicas }}: replicas is not known"]


def test_the_executor_knows_every_variable_of_arguments():
    target = Target("prod", "cart", {"a": "b"})
    scope = argument_scope("prod", "i-1", "hang", 0.9, target, TargetState(2, 1, "v2", "v1"))
    assert set(scope) == set(ARGUMENT_VARIABLES)
    for name in ARGUMENT_VARIABLES:
        text = f"{name} == {name}"
        assert evaluate(text, scope, in_argument=True).value is True, name


def test_every_variable_compiles():
    for name in VARIABLES:
        assert check(f"{name} == {name}", ("bool",)) == []


@settings(max_examples=150)
@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            ["replicas", "<", "5", "&&", "(", ")", '"x"', "features", "[", "]", ".", "in", "1.0", "!", "?", ":", "size"]
        ),
        max_size=8,
    ).map(" ".join)
)
def test_evaluation_never_raises(text: str):
    errors = check(text, ("bool",))
    assert isinstance(unmet(text, SCOPE), str)
    assert all(e.line >= 1 and e.column >= 1 for e in errors)
    if errors and any(e.rule != "unknown_feature" for e in errors):
        assert unmet(text, SCOPE)
