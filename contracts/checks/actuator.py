"""What every actuator must do.

    await actuator.run_all(make_subject)                # or
    @pytest.mark.parametrize("check", actuator.CHECKS)
    async def test_my_actuator(check): await check(make_subject())

A `Subject` is a system to act on, which counts its effects itself, and a way to open actuators on it. Each check wants a fresh one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from contracts.actions import action_of, touches_target
from contracts.checks.expecting import expect
from contracts.checks.running import awaited_on_fresh
from contracts.errors import ActionFailed, Conflict, HomeostatError, InvalidTarget, TargetNotFound
from contracts.ports import Actuator, Applied, Identity, Mark, StepRequest, Target, TargetState


@dataclass(frozen=True, slots=True)
class Subject:
    """A system and what can be done with it.

    `open`: an actuator on it, as another worker would open one. `effects`: how many it has had so far, by its own count.
    `arguments`: for each action, arguments with which it has an effect. `unlisted`: a word that the message about an unknown
    target must hold, such as a target there is; empty where every target is known. `remembers`: the system itself knows
    keys, so that a repetition by another worker has no effect either. `aliases`: other claims that lead to the same thing.
    `marks`: the system keeps who acted last, so that another installation of Homeostat knows; where it can't, say so.
    """

    open: Callable[[], Actuator]
    target: Target
    effects: Callable[[], int | Awaitable[int]]
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unlisted: str = ""
    remembers: bool = True
    aliases: tuple[Target, ...] = ()
    marks: bool = True


Check = Callable[[Subject], Awaitable[None]]
REFUSALS: Final = frozenset({"action_failed", "target_not_found", "invalid_target", "unbound_environment"})
TIMEOUT_S: Final = 20.0
HOSTILE: Final = (
    *(
        "x/../kube-system",
        "../cart",
        "..",
        ".",
        "",
        "/",
        "cart/",
        "cart/scale",
        "cart?force=true",
        "cart#",
        "%2e%2e/cart",
        "cart%2F..",
    ),
    *(
        "-cart",
        "--all",
        "Cart",
        "cart cart",
        "cart\n",
        "cart\x00",
        "\x1b[2J",
        "cart\u202e",
        "c\u0430rt",
        "cart;reboot",
        "$(reboot)",
        "a" * 300,
    ),
)
"""What telemetry may call something, and nothing is called."""
SETTLE_S: Final = 30.0
"""Patience with a system that changes some time after it was asked, as behind an autoscaler."""


@asynccontextmanager
async def opened(subject: Subject) -> AsyncIterator[Actuator]:
    """An actuator, closed at the end."""
    actuator = subject.open()
    try:
        yield actuator
    finally:
        await actuator.close()


async def count(subject: Subject) -> int:
    """How many effects the system has had."""
    found = subject.effects()
    return found if isinstance(found, int) else await found


async def request(subject: Subject, actuator: Actuator, action: str, key: str) -> StepRequest:
    """The request for an action, with the state before it."""
    before: TargetState | None = None
    if touches_target(action):
        before = await actuator.describe(subject.target)
    arguments, identity = subject.arguments[action], await actuator.resolve(subject.target)
    return StepRequest(key, "run-1", "step-1", action, subject.target, arguments, before, TIMEOUT_S, identity)


def _on_target(subject: Subject) -> list[str]:
    """The actions to be checked that change the target itself."""
    return sorted(name for name in subject.arguments if touches_target(name))


async def check_says_what_it_can(subject: Subject) -> None:
    """It has a name, and every action it claims can be tried."""
    async with opened(subject) as actuator:
        assert actuator.name, "an actuator needs a name"
        expect(frozenset(subject.arguments), actuator.actions, "actions to be checked")
        unknown = sorted(name for name in actuator.actions if not action_of(name).installed)
        assert not unknown, f"no such action is installed: {', '.join(unknown)}"


async def check_unknown_target(subject: Subject) -> None:
    """An unknown target is TargetNotFound, and the message lists what there is."""
    if not subject.unlisted:
        return
    async with opened(subject) as actuator:
        try:
            await actuator.describe(Target(subject.target.environment, "no-such-thing"))
        except TargetNotFound as e:
            assert subject.unlisted in str(e), f"the message does not list {subject.unlisted!r}: {e}"
        else:
            raise AssertionError("an unknown target was described")


async def check_resolves(subject: Subject) -> None:
    """One thing has one identity: whoever asks, however often, whatever it is called; and the state is that thing's."""
    async with opened(subject) as actuator, opened(subject) as other:
        before, first = await count(subject), await actuator.resolve(subject.target)
        assert first.scope and first.kind and first.name, f"an identity without scope, kind or name: {first}"
        for target in (subject.target, *subject.aliases):
            for one in (actuator, other):
                expect(await one.resolve(target), first, f"identity of {target.service}")
        if _on_target(subject):
            expect((await actuator.describe(subject.target)).identity, first, "identity in the state")
        expect(await count(subject), before, "effects of resolving")


async def check_another_thing(subject: Subject) -> None:
    """What is not what was asked about is not touched: another incarnation, another name, another system."""
    for action in _on_target(subject):
        async with opened(subject) as actuator:
            asked = await request(subject, actuator, action, f"another-{action}")
            assert asked.identity is not None
            before = await count(subject)
            changes: list[dict[str, Any]] = [
                {part: "another"} for part in ("uid", "name", "scope", "namespace", "kind")
            ]
            for change in changes:
                meant = replace(asked.identity, **change)
                try:
                    await actuator.apply(replace(asked, identity=meant))
                except Conflict:
                    continue
                raise AssertionError(f"{action} was done to {asked.identity.words}, allowed was {meant.words}")
            expect(await count(subject), before, f"effects of a {action} meant for something else")


async def check_hostile_names(subject: Subject) -> None:
    """What is no name of anything there leads nowhere, wherever telemetry puts it; where nothing is behind names, to itself."""
    async with opened(subject) as actuator:
        action = min(_on_target(subject), default=min(subject.arguments))
        asked = await request(subject, actuator, action, "hostile")
        before = await count(subject)
        for i, target in enumerate(t for name in HOSTILE for t in _called(subject.target, name)):
            if await _leads_nowhere(actuator, target, asked.identity) and touches_target(action):
                await _refuses(actuator, replace(asked, target=target, key=f"hostile-{i}"))
        expect(await count(subject), before, "effects on what can't be called so")


def _called(target: Target, name: str) -> list[Target]:
    """A target of a hostile name and nothing else to go by, and the target with each of its attributes so."""
    attributes = [{**target.attributes, key: name} for key in target.attributes if name]
    return [replace(target, service=name, attributes={}), *(replace(target, attributes=a) for a in attributes)]


async def _leads_nowhere(actuator: Actuator, target: Target, known: Identity | None) -> bool:
    """Whether it is nothing that may be acted on by the identity `known`; that an attribute is ignored is no harm."""
    try:
        found = await actuator.resolve(target)
    except (InvalidTarget, TargetNotFound):
        return True
    if found == known:
        return False
    assert target.service.isprintable(), f"{target.service!r} became a target: {found}"
    expect(found.name, target.service, f"what {target} leads to")
    return True


async def _refuses(actuator: Actuator, asked: StepRequest) -> None:
    try:
        await actuator.apply(asked)
    except (InvalidTarget, TargetNotFound, Conflict):
        return
    raise AssertionError(f"{asked.action} of {asked.target} was done, by the identity of something else")


async def check_one_effect(subject: Subject) -> None:
    """Each action has one effect, says so, and is known to have happened afterwards, also to another worker."""
    for action in sorted(subject.arguments):
        async with opened(subject) as actuator, opened(subject) as other:
            asked = await request(subject, actuator, action, f"one-{action}")
            before = await count(subject)
            assert await actuator.applied(asked) is not Applied.YES, f"{action} was said to have happened before it did"
            result = await actuator.apply(asked)
            assert result.text, f"{action}: a result must say what was done"
            expect(await count(subject), before + 1, f"effects of one {action}")
            expect(await actuator.applied(asked), Applied.YES, f"applied after {action}")
            again = await other.applied(asked)
            wanted = {Applied.YES} if subject.remembers else {Applied.YES, Applied.UNKNOWN}
            assert again in wanted, f"another worker must not say {again!r} of a {action} that has happened"
            expect(await count(subject), before + 1, f"effects after asking about {action}")


async def check_same_key_twice(subject: Subject) -> None:
    """The same key again has no second effect: by the same worker, at the same time, by another worker."""
    for action in sorted(subject.arguments):
        async with opened(subject) as actuator, opened(subject) as other:
            asked = await request(subject, actuator, action, f"twice-{action}")
            before = await count(subject)
            await asyncio.gather(*(actuator.apply(asked) for _ in range(3)), return_exceptions=True)
            await actuator.apply(asked)
            expect(await count(subject), before + 1, f"effects of four {action} with one key")
            if subject.remembers:
                await other.apply(asked)
                expect(await count(subject), before + 1, f"effects of a {action} repeated by another worker")


async def check_another_installation(subject: Subject) -> None:
    """Who acted last is told by the target itself; and what another installation has acted on since it was looked at is left alone,
    with a message that says who. Once it is known that it has, guards decide."""
    if not subject.marks:
        return
    for action in _on_target(subject):
        async with opened(subject) as actuator, opened(subject) as other:
            ours, theirs = Mark("ours", action, 1), Mark("theirs", action, 2)
            first = replace(await request(subject, actuator, action, f"first-{action}"), mark=theirs)
            late = replace(await request(subject, actuator, action, f"late-{action}"), mark=ours)
            await other.apply(first)
            told = (await (actuator if subject.remembers else other).describe(subject.target)).acted
            expect(told, theirs, f"who acted last, after {action}")
            before, asked_at = await count(subject), actuator if subject.remembers else other
            try:
                await asked_at.apply(late)
            except Conflict as e:
                assert "theirs" in str(e), f"the message does not say who acted: {e}"
            else:
                raise AssertionError(f"{action} was done to what another installation had just acted on")
            expect(await count(subject), before, f"effects of a {action} that came too late")
            knowing = replace(late, before=await asked_at.describe(subject.target))
            with contextlib.suppress(ActionFailed):  # there may be nothing left to do
                await asked_at.apply(knowing)
                expect((await asked_at.describe(subject.target)).acted, ours, f"who acted last, after another {action}")


async def check_describe(subject: Subject) -> None:
    """Looking changes nothing; after an action that leads to a number of replicas, as scaling does, the target has that many."""
    resizing = [n for n, given in subject.arguments.items() if action_of(n).replicas(given) is not None]
    for action in sorted(resizing):
        await _resizes(subject, action)


async def _resizes(subject: Subject, action: str) -> None:
    async with opened(subject) as actuator:
        before = await count(subject)
        first = await actuator.describe(subject.target)
        expect(await actuator.describe(subject.target), first, "a target described twice")
        expect(await count(subject), before, "effects of describing")
        asked = await request(subject, actuator, action, f"describe-{action}")
        result = await actuator.apply(asked)
        wanted = action_of(action).replicas(asked.arguments)
        assert wanted is not None
        after = await _settled(actuator, subject.target, wanted)
        expect((after.replicas, after.ready), (wanted, wanted), f"(replicas, ready) after {action}")
        assert result.after is not None, f"{action} must say the state after it"
        expect(result.after.replicas, wanted, f"replicas in the result of {action}")
        assert after.generation != first.generation, "a changed target must have another generation"


async def _settled(actuator: Actuator, target: Target, replicas: int) -> TargetState:
    """The target once it has so many ready replicas, or as it is after `SETTLE_S`: whoever scales may do it later."""
    state = await actuator.describe(target)
    for _ in range(int(SETTLE_S / 0.2)):
        if (state.replicas, state.ready) == (replicas, replicas):
            break
        await asyncio.sleep(0.2)
        state = await actuator.describe(target)
    return state


async def check_refuses(subject: Subject) -> None:
    """An action it doesn't have, or a target or name it doesn't know: a permanent error, and no effect."""
    async with opened(subject) as actuator:
        action = min(subject.arguments)
        asked = await request(subject, actuator, action, "refused")
        wrong = [replace(asked, action="levitate", key="refused-1")]
        if subject.unlisted:
            target, arguments = Target("nowhere", "no-such-thing"), {**asked.arguments, "name": "no-such-thing"}
            wrong.append(replace(asked, target=target, arguments=arguments, key="refused-2"))
        before = await count(subject)
        for one in wrong:
            try:
                await actuator.apply(one)
            except HomeostatError as e:
                assert e.reason in REFUSALS, f"{one.action}: refused with {e.reason}"
            else:
                if subject.unlisted:
                    raise AssertionError(f"{one.action} of {one.target.service} was done")
        if subject.unlisted:
            expect(await count(subject), before, "effects of what was refused")


async def check_close(subject: Subject) -> None:
    """Closing twice is closing once, and undoes nothing."""
    actuator = subject.open()
    action = min(subject.arguments)
    await actuator.apply(await request(subject, actuator, action, "close"))
    before = await count(subject)
    await actuator.close()
    await actuator.close()
    expect(await count(subject), before, "effects after closing")


CHECKS: Final[tuple[Check, ...]] = (
    check_says_what_it_can,
    check_unknown_target,
    check_resolves,
    check_another_thing,
    check_hostile_names,
    check_one_effect,
    check_same_key_twice,
    check_another_installation,
    check_describe,
    check_refuses,
    check_close,
)

run_all: Final = awaited_on_fresh(CHECKS)
"""Runs all checks, each on a fresh subject; AssertionError with the first thing that is wrong."""
