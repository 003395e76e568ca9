"""What must hold between the parts of a playbook. Each rule looks at what could be read and records what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from contracts.actions import BEFORE, Action, Argument, Touches, installed_actions
from contracts.errors import suggest
from playbooks.language.blocks import KEY
from playbooks.language.model import ONE_INSTANCE, ONE_INSTANCE_FEATURES
from playbooks.language.reading import Path, ReadContext

Document = Mapping[str, Any]


def _steps(document: Document, part: str) -> Sequence[Mapping[str, Any]]:
    steps = document.get(part)
    return steps if isinstance(steps, tuple) else ()


def _mapping(document: Document, part: str) -> Mapping[str, Any]:
    found = document.get(part)
    return found if isinstance(found, Mapping) else {}


def _action(step: Mapping[str, Any]) -> Action | None:
    """A step's action; None where it names none that is installed, which is refused elsewhere."""
    return installed_actions().get(step.get("action", ""))


def _arguments(document: Document, part: str) -> Iterator[tuple[int, Argument, Any]]:
    """Every argument that a step gives: the step's index, what the argument is, and its value as written."""
    for i, step in enumerate(_steps(document, part)):
        action, given = _action(step), _mapping(step, "with")
        for argument in () if action is None else action.arguments:
            if argument.key in given:
                yield i, argument, given[argument.key]


def unique_steps(document: Document, to: ReadContext) -> None:
    """A step's name is its name in the journal."""
    for part in ("steps", "rollback"):
        seen: dict[str, int] = {}
        for i, step in enumerate(_steps(document, part)):
            name = step.get("name")
            if name in seen:
                first = to.nodes[(part, seen[name], "name")].start_mark.line + 1
                to.problem_at((part, i, "name"), "duplicate_step", f"step {name!r} exists already, in line {first}")
            elif name is not None:
                seen[name] = i


def known_needs(document: Document, to: ReadContext) -> None:
    """`needs` names steps of the same part."""
    for part in ("steps", "rollback"):
        names = [s["name"] for s in _steps(document, part) if "name" in s]
        for i, step in enumerate(_steps(document, part)):
            for j, need in enumerate(step.get("needs", ())):
                if need not in names:
                    close = suggest(need, names)
                    hint = f"did you mean {close!r}?" if close else f"steps: {', '.join(names)}"
                    to.problem_at((part, i, "needs", j), "unknown_step", f"needs unknown step {need!r}", hint)


def no_cycles(document: Document, to: ReadContext) -> None:
    """Steps can be put in an order."""
    for part in ("steps", "rollback"):
        steps = _steps(document, part)
        needs = {s["name"]: list(s.get("needs", ())) for s in steps if "name" in s}
        circle = _cycle(needs)
        if circle:
            index = next(i for i, s in enumerate(steps) if s.get("name") == circle[0])
            way = " → ".join((*circle, circle[0]))
            to.problem_at(
                (part, index, "needs"), "cycle", f"steps need each other in a circle: {way}", "remove one need"
            )


def _cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The first circle, beginning with the step written first; empty if there is none."""
    left = {n: {m for m in wanted if m in needs} for n, wanted in needs.items()}
    while True:
        free = [n for n, wanted in left.items() if not wanted]
        if not free:
            break
        for n in free:
            del left[n]
        for wanted in left.values():
            wanted.difference_update(free)
    if not left:
        return []
    walk = [next(iter(left))]
    while True:
        following = next(n for n in needs[walk[-1]] if n in left)
        if following in walk:
            circle = walk[walk.index(following) :]
            start = min(range(len(circle)), key=lambda i: list(needs).index(circle[i]))
            return circle[start:] + circle[:start]
        walk.append(following)


def verified(document: Document, to: ReadContext) -> None:
    """What acts without a person must find out whether it helped; of telling somebody there is nothing to find out."""
    tier, acts = document.get("tier"), [_action(step) for step in _steps(document, "steps")]
    touched = {Touches.TARGET if action is None else action.touches for action in acts} - {Touches.NOTHING}
    if tier in (1, 2) and touched != {Touches.SOMEBODY} and ("verify",) not in to.nodes:
        to.problem_at(("tier",), "no_verify", f"tier {tier} needs 'verify'", "say which features tell that it helped")


def narrow(document: Document, to: ReadContext) -> None:
    """What acts without a person must say for which causes."""
    path: Path = ("trigger", "match")
    readable = "match" in _mapping(document, "trigger")
    if document.get("tier") in (1, 2) and readable and (*path, "cause") not in to.nodes:
        message = f"tier {document['tier']} needs 'cause' in trigger.match: it would act on any cause"
        to.problem_at(path, "too_wide", message, "name the causes it is a remedy for")


def undone(document: Document, to: ReadContext) -> None:
    """Where an action can't undo itself, rollback must be written, be it to say that there is nothing to undo."""
    if ("rollback",) in to.nodes:
        return
    for i, step in enumerate(_steps(document, "steps")):
        action = _action(step)
        if action is not None and action.undo:
            hint = f"such as {action.undo}; or 'rollback: []' if nothing needs undoing"
            message = f"{action.name!r} can't undo itself: add 'rollback'"
            to.problem_at(("steps", i, "action"), "no_rollback", message, hint)
            return


def replica_bounds(document: Document, to: ReadContext) -> None:
    """Fewest replicas are not more than most; a fixed number is between them."""
    guards = _mapping(document, "guards")
    low, high = guards.get("minReplicas", 1), guards.get("maxReplicas", 10)
    if high < low:
        path = ("guards", "maxReplicas" if "maxReplicas" in guards else "minReplicas")
        to.problem_at(path, "replica_bounds", f"maxReplicas ({high}) is less than minReplicas ({low})")
        return
    for i, argument, replicas in _arguments(document, "steps"):
        if argument.replicas and isinstance(replicas, int) and not low <= replicas <= high:
            message = f"{replicas} replicas are outside of minReplicas ({low}) and maxReplicas ({high})"
            to.problem_at(("steps", i, "with", argument.key), "replica_bounds", message)


def cooled(document: Document, to: ReadContext) -> None:
    """What acts by itself pauses between two runs."""
    if document.get("tier") == 1 and _mapping(document, "guards").get("cooldown") == 0:
        to.problem_at(
            ("guards", "cooldown"), "no_cooldown", "tier 1 needs a cooldown above 0", "such as 5m, or make it tier 3"
        )


def patient(document: Document, to: ReadContext) -> None:
    """Verification has time to hold."""
    verify = _mapping(document, "verify")
    needed, limit = verify.get("for", 3.0), verify.get("within", 60.0)
    if needed > limit:
        path = ("verify", "for" if "for" in verify else "within")
        to.problem_at(path, "verify_times", f"checks can't hold for {needed:g}s within {limit:g}s")


def measured(document: Document, to: ReadContext) -> None:
    """`by` says how much lower or higher; the expected range needs none."""
    for i, check in enumerate(_mapping(document, "verify").get("checks", ())):
        path: Path = ("verify", "checks", i, "by")
        if path in to.nodes and isinstance(check, Mapping) and check.get("better", "expected") == "expected":
            to.problem(
                to.nodes[(*path, KEY)], "unused", "'by' has no meaning with better: expected", "say lower or higher"
            )


def probing(document: Document, to: ReadContext) -> None:
    """A check on one instance is of how its requests fare, and of the one that the playbook replaces."""
    steps = [s for s in _steps(document, "steps") if (a := _action(s)) is not None and a.touches is not Touches.NOTHING]
    replaces = (
        len(steps) == 1 and steps[0]["action"] == "restart" and _mapping(steps[0], "with").get("strategy") == "instance"
    )
    for i, check in enumerate(_mapping(document, "verify").get("checks", ())):
        if not isinstance(check, Mapping) or check.get("service") != ONE_INSTANCE:
            continue
        path: Path = ("verify", "checks", i, "service")
        if not replaces:
            message = "a check on 'instance' needs one step that changes anything: restart, with strategy: instance"
            to.problem_at(path, "probe", message, "check target")
        elif check.get("feature") not in ONE_INSTANCE_FEATURES or check.get("better", "expected") != "expected":
            message = f"of one instance only {' and '.join(ONE_INSTANCE_FEATURES)} are known, beside its siblings"
            to.problem_at(path, "probe", message, "check one of these, without 'better'")


def before_only_back(document: Document, to: ReadContext) -> None:
    """`before` is a state that only a rollback step knows."""
    for i, argument, value in _arguments(document, "steps"):
        if argument.before and value == BEFORE:
            message = f"{argument.key!r}: 'before' is only known in rollback steps"
            to.problem_at(("steps", i, "with", argument.key), "before", message)


def as_its_action_wants(document: Document, to: ReadContext) -> None:
    """What an action itself has against its arguments, such as a command that would bring a shell along."""
    for part in ("steps", "rollback"):
        for i, step in enumerate(_steps(document, part)):
            action = _action(step)
            for found in () if action is None else action.mistakes(_mapping(step, "with")):
                to.problem_at((part, i, "with", found.key), found.rule, found.message, found.suggestion)


def named_in_settings(document: Document, to: ReadContext, named: Mapping[str, Collection[str]]) -> None:
    """What a step calls by name is there. `named`: by setting (`act.webhooks`), the names that it defines."""
    for part in ("steps", "rollback"):
        for i, argument, name in _arguments(document, part):
            names = named.get(argument.named_by)
            if names is None or name in names:
                continue
            close = suggest(name, names)
            there = f"did you mean {close!r}?" if close else f"there are: {', '.join(sorted(names)) or 'none'}"
            message = f"no setting {argument.named_by} defines {name!r}"
            to.problem_at((part, i, "with", argument.key), "not_in_settings", message, there)


RULES: Final[tuple[Callable[[Document, ReadContext], None], ...]] = (
    unique_steps,
    known_needs,
    no_cycles,
    verified,
    narrow,
    undone,
    replica_bounds,
    cooled,
    patient,
    measured,
    probing,
    before_only_back,
    as_its_action_wants,
)
