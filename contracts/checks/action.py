"""What every action must do.

    from contracts.checks import action
    action.run_all(lambda: MyAction())                 # or
    @pytest.mark.parametrize("check", action.CHECKS)
    def test_my_action(check): check(lambda: MyAction())

An action is asked again at every retry, on every worker and in every replay: the same questions must have the same answers, and what
is journalled must mean the same when it is applied a second time.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from contracts.actions import (
    Action,
    Argument,
    ChoiceValue,
    DocumentValue,
    DurationValue,
    ListValue,
    NumberValue,
    ReplicaBounds,
    TextValue,
    Touches,
)
from contracts.checks.running import on_same
from contracts.errors import ActionFailed
from contracts.ports import TargetState

Factory = Callable[[], Action]
Check = Callable[[Factory], None]
Arguments = Mapping[str, Any]

BOUNDS: Final = ReplicaBounds(1, 10)
STATES: Final = (
    TargetState(3, 3, version="2", previous_version="1", generation="7", instances=("a", "b", "c"), disrupts=3),
    TargetState(3, 1, version="2", previous_version="1", most=4, disrupts=1),
    TargetState(1, 0, version="1"),
    TargetState(0, 0),
)
"""Targets as they may be found: well, half down, down, scaled to nothing."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def samples(action: Action) -> Iterator[dict[str, Any]]:
    """Arguments as a playbook may write them: the required ones, every alternative, and all that can be given at once."""
    required = {a.key: _sample(a) for a in action.arguments if a.required and a.key not in action.one_of}
    optional = {a.key: _sample(a) for a in action.arguments if not a.required and a.key not in action.one_of}
    by_key = {a.key: a for a in action.arguments}
    for alternative in action.one_of or ("",):
        chosen = {alternative: _sample(by_key[alternative])} if alternative else {}
        yield {**required, **chosen}
        yield {**required, **optional, **chosen}


def _sample(argument: Argument) -> Any:
    match argument.value:
        case NumberValue() as v:
            middle = min(max(2, v.low), v.high)
            return int(middle) if v.whole else float(middle)
        case TextValue() as v:
            return v.example or "x"
        case ChoiceValue() as v:
            return v.values[0]
        case DurationValue() as v:
            return float(min(max(5.0, v.low_s), v.high_s))
        case ListValue() as v:
            return [v.of.example or "x"]
        case DocumentValue():
            return {"text": "x"}


def _steps(action: Action) -> Iterator[tuple[dict[str, Any], TargetState]]:
    """Normalised arguments, and states to ask about with them."""
    for given in samples(action):
        for state in STATES:
            yield action.normalised(given), state


def _done(action: Action) -> Iterator[tuple[dict[str, Any], TargetState]]:
    """Absolute arguments on the states that they can be computed for; on one of them they must be."""
    found = 0
    for arguments, state in _steps(action):
        try:
            yield action.absolute(arguments, state, BOUNDS), state
            found += 1
        except ActionFailed:
            continue
    assert found, "its arguments can't be computed on any target"


def check_names_itself(factory: Factory) -> None:
    """It has a name that can be written in a playbook, and says what it does; so does policy's name for it."""
    action = factory()
    for name in (action.name, action.policy_name):
        assert _NAME.fullmatch(name), f"{name!r} is no name: small letters, digits, - and _"
    assert action.text.strip(), "an action must say what it does"
    assert action.text.isprintable(), f"its text is not one line of text: {action.text!r}"
    assert action.installed, "an action that exists is installed"


def check_arguments(factory: Factory) -> None:
    """Every argument has one key and an explanation, alternatives are among them, and examples are as they must be."""
    action = factory()
    keys = [a.key for a in action.arguments]
    assert len(keys) == len(set(keys)), f"an argument is there twice: {keys}"
    missing = sorted(set(action.one_of) - set(keys))
    assert not missing, f"one_of names what is no argument: {', '.join(missing)}"
    for argument in action.arguments:
        assert argument.text, f"{argument.key}: what is it?"
        value = argument.value.of if isinstance(argument.value, ListValue) else argument.value
        if isinstance(value, TextValue) and value.pattern:
            assert value.example, f"{argument.key}: a text with a pattern needs an example"
            assert re.fullmatch(value.pattern, value.example), f"{argument.key}: the example is none: {value.example!r}"
        if isinstance(value, NumberValue):
            assert value.low <= value.high, f"{argument.key}: {value.low} to {value.high} is no range"


def check_reads_its_arguments(factory: Factory) -> None:
    """Right arguments have no mistakes, are normalised without being changed, and stay what they are as JSON (the journal)."""
    action = factory()
    for given in samples(action):
        kept = copy.deepcopy(given)
        assert not list(action.mistakes(given)), f"mistakes in right arguments {given}: {list(action.mistakes(given))}"
        normal = action.normalised(given)
        assert given == kept, f"normalising changed what it was given: {kept} became {given}"
        assert _as_json(normal) == normal, f"arguments that can't be journalled: {normal}"
        assert factory().normalised(given) == normal, "normalised twice, two results"


def check_absolute(factory: Factory) -> None:
    """What is journalled means the same when it is applied again: absolute arguments stay as they are on the changed target."""
    action = factory()
    for arguments, state in _done(action):
        assert _as_json(arguments) == arguments, f"arguments that can't be journalled: {arguments}"
        if action.unable(arguments, state):
            continue
        after = action.simulated(arguments, state)
        again = action.absolute(arguments, after, BOUNDS)
        assert again == arguments, f"{arguments} applied again became {again}"


def check_goes_back(factory: Factory) -> None:
    """A rollback step that names nothing is computed from the state before, or says why it can't be."""
    action = factory()
    if not action.undo or any(a.required for a in action.arguments):
        return
    for arguments, before in _done(action):
        after = action.simulated(arguments, before)
        back = action.restored({}, after, before, BOUNDS)
        assert _as_json(back) == back, f"arguments that can't be journalled: {back}"
        assert action.absolute(back, after, BOUNDS) == back, f"going back is not absolute: {back}"


def check_guard_effects(factory: Factory) -> None:
    """Guards are told numbers that can be, and an outage only where something serves and all of it is taken away."""
    action = factory()
    for arguments, state in _done(action):
        taken, replicas = action.taken(arguments, state), action.replicas(arguments)
        assert taken >= 0, f"{taken} instances taken away"
        assert replicas is None or replicas >= 0, f"it leads to {replicas} replicas"
        outage = action.outage(arguments, state)
        assert not outage or taken >= state.ready > 0, f"no outage, {taken} of {state.ready} are taken: {outage}"
        assert not action.outage(arguments, replace(state, ready=0)), "where nothing serves nothing is taken away"
        for text in (outage, action.unable(arguments, state), action.pointless(arguments, state)):
            assert text.isprintable(), f"not one line of text: {text!r}"
        variant = action.variant(arguments)
        assert variant.partition("/")[0] == action.name, f"variant {variant!r} is none of {action.name}"
        refused = replace(state, refusals={variant: "its owner says no"})
        assert action.refusal(arguments, refused), "a refusal of its owner is not heard"


def check_what_it_touches(factory: Factory) -> None:
    """Only what lets time pass has a pause, which can't be undone; and what changes a target is told as a change."""
    action = factory()
    for arguments, _ in _done(action):
        if action.touches is Touches.NOTHING:
            assert action.pause_s(arguments) >= 0, "a pause of less than nothing"
            assert not action.undo, "time that passed can't be undone"
    if action.touches is Touches.TARGET:
        assert action.change, "what changes a target needs a kind of change event"


def check_words(factory: Factory) -> None:
    """The audit reads one line that says the target."""
    action = factory()
    for arguments, state in _done(action):
        words = action.words("shop/cart", arguments)
        assert "shop/cart" in words, f"the words don't say the target: {words!r}"
        assert words.isprintable(), f"not one line of text: {words!r}"
        was, becomes = action.levels(arguments, state)
        assert (was + becomes).isprintable(), f"levels are no text: {was!r}, {becomes!r}"


def check_answers_alike(factory: Factory) -> None:
    """The same question has the same answer, and asking changes nothing."""
    one, other = factory(), factory()
    for arguments, state in _done(one):
        kept = copy.deepcopy((arguments, state))
        for asked in (_answers(one, arguments, state), _answers(other, arguments, state)):
            assert asked == _answers(one, *kept), "the same question has another answer"
        assert (arguments, state) == kept, "asking changed what it was given"


def _answers(action: Action, arguments: dict[str, Any], state: TargetState) -> list[object]:
    return [
        action.simulated(arguments, state),
        action.taken(arguments, state),
        action.outage(arguments, state),
        action.also_affects(arguments, state),
        action.words("shop/cart", arguments),
    ]


def _as_json(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))


CHECKS: Final[tuple[Check, ...]] = (
    check_names_itself,
    check_arguments,
    check_reads_its_arguments,
    check_absolute,
    check_goes_back,
    check_guard_effects,
    check_what_it_touches,
    check_words,
    check_answers_alike,
)

run_all: Final = on_same(CHECKS)
"""Runs all checks, one after the other; AssertionError with the first thing that is wrong."""
