"""What must hold between the parts of a playbook. Each rule looks at what could be read and records what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from contracts.errors import suggest
from playbooks.language.actions import ACTIONS, BEFORE
from playbooks.language.blocks import KEY
from playbooks.language.reading import Path, ReadContext

Document = Mapping[str, Any]


def _steps(document: Document, part: str) -> Sequence[Mapping[str, Any]]:
    steps = document.get(part)
    return steps if isinstance(steps, tuple) else ()


def _mapping(document: Document, part: str) -> Mapping[str, Any]:
    found = document.get(part)
    return found if isinstance(found, Mapping) else {}


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
    """What acts without a person must find out whether it helped."""
    tier = document.get("tier")
    if tier in (1, 2) and ("verify",) not in to.nodes:
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
        action = step.get("action")
        if action is not None and ACTIONS[action].undo == "steps":
            hint = f"such as {_UNDO[action]}; or 'rollback: []' if nothing needs undoing"
            to.problem_at(("steps", i, "action"), "no_rollback", f"{action!r} can't undo itself: add 'rollback'", hint)
            return


_UNDO: Final = {
    "scale": "{name: undo, action: scale, with: {replicas: before}}",
    "rollback": "{name: undo, action: rollback, with: {to: before}}",
    "command": "a command that reverts it",
}


def replica_bounds(document: Document, to: ReadContext) -> None:
    """Fewest replicas are not more than most; a fixed number is between them."""
    guards = _mapping(document, "guards")
    low, high = guards.get("minReplicas", 1), guards.get("maxReplicas", 10)
    if high < low:
        path = ("guards", "maxReplicas" if "maxReplicas" in guards else "minReplicas")
        to.problem_at(path, "replica_bounds", f"maxReplicas ({high}) is less than minReplicas ({low})")
        return
    for i, step in enumerate(_steps(document, "steps")):
        replicas = _mapping(step, "with").get("replicas")
        if isinstance(replicas, int) and not low <= replicas <= high:
            message = f"{replicas} replicas are outside of minReplicas ({low}) and maxReplicas ({high})"
            to.problem_at(("steps", i, "with", "replicas"), "replica_bounds", message)


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


def before_only_back(document: Document, to: ReadContext) -> None:
    """`before` is a state that only a rollback step knows."""
    for i, step in enumerate(_steps(document, "steps")):
        for key, value in _mapping(step, "with").items():
            if value == BEFORE and key in {"replicas", "to"}:
                message = f"{key!r}: 'before' is only known in rollback steps"
                to.problem_at(("steps", i, "with", key), "before", message)


def no_shell(document: Document, to: ReadContext) -> None:
    """A command's arguments do not bring a shell along."""
    for part in ("steps", "rollback"):
        for i, step in enumerate(_steps(document, part)):
            arguments = _mapping(step, "with")
            if step.get("action") != "command":
                continue
            if arguments.get("name") in {"sh", "bash", "dash", "zsh", "ksh", "cmd", "powershell", "pwsh"}:
                message = f"command {arguments['name']!r} would be a shell"
                to.problem_at((part, i, "with", "name"), "shell", message, "name the program itself in the settings")


def named_in_settings(document: Document, to: ReadContext, named: Mapping[str, Collection[str]]) -> None:
    """What a step calls by name is there. `named`: by action, the names that the settings define."""
    for part in ("steps", "rollback"):
        for i, step in enumerate(_steps(document, part)):
            action, name = step.get("action"), _mapping(step, "with").get("name")
            if action is None or action not in named or name is None or name in named[action]:
                continue
            close = suggest(name, named[action])
            there = f"did you mean {close!r}?" if close else f"there are: {', '.join(sorted(named[action])) or 'none'}"
            message = f"no setting act.{action}s defines {name!r}"
            to.problem_at((part, i, "with", "name"), "not_in_settings", message, there)


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
    before_only_back,
    no_shell,
)
