"""`homeostat doctor`: one line per check, and what to fix."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import click

from connectors.kafka.client import KafkaBroker
from connectors.policy import open_policy
from contracts.actions import action_of, installed_actions
from contracts.errors import HomeostatError
from contracts.events import DeadLetter, decode
from contracts.frames import FeatureFrame, unpack
from contracts.ports import BUILT_IN, UNBOUND, SystemClock
from contracts.secrets import masked
from contracts.settings import Settings
from contracts.topics import DEADLETTER, FEATURES, INGRESS, TOPICS
from contracts.units import SECOND
from homeostat import data_folder
from homeostat.checkup import BEHIND_S
from homeostat.cli.app import settings_of
from homeostat.cli.common import broker_option, connected, document, json_option, run
from homeostat.cli.graph import reader
from homeostat.cli.status import overview
from homeostat.implementations import load_playbooks, names_for
from homeostat.plugins import reports
from homeostat.status import Process
from homeostat.terminal import echo
from playbooks.language.model import Step
from playbooks.language.reader import Named


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found; `fix` is empty where nothing needs fixing."""

    ok: bool
    check: str
    text: str
    fix: str = ""


UNSTAMPED = "senders and not the broker say when a message came (message.timestamp.type is CreateTime), and may say what they like:"
STAMP_FIX = (
    "kafka-configs --alter --entity-type topics --entity-name TOPIC --add-config message.timestamp.type=LogAppendTime"
)
Check = Callable[[], Awaitable[CheckResult]]


@click.command()
@json_option
@broker_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool, broker: str | None) -> None:
    """Check data folder, running processes, broker, topics, pace, graph, clock, policy, cluster, playbooks and plugins, and say what to fix.
    Exit status 1 if something must be fixed."""
    settings = settings_of(ctx)
    findings = run(_all(ctx, settings, broker))
    if as_json:
        echo(document(findings))
    else:
        for f in findings:
            fix = f"\n{'':15}-> {f.fix}" if f.fix else ""
            echo(f"{'ok ' if f.ok else 'FIX'} {f.check:10} {f.text}{fix}")
    if not all(f.ok for f in findings):
        raise SystemExit(1)


async def _all(ctx: click.Context, settings: Settings, broker: str | None) -> list[CheckResult]:
    return [
        await _guarded("data", lambda: _data(settings)),
        *await _processes(ctx, settings, broker),
        *await _log(ctx, broker),
        await _guarded("graph", lambda: _graph(settings)),
        *([await _guarded("cluster", lambda: _cluster(settings))] if "kubernetes" in settings.act.actuators else []),
        await _guarded("policy", lambda: _policy(settings)),
        *([_binding(settings)] if set(settings.act.actuators) - UNBOUND or settings.act.commands else []),
        await _guarded("playbooks", lambda: _playbooks(settings)),
        *await _plugins(settings),
    ]


async def _guarded(name: str, check: Check) -> CheckResult:
    try:
        return await check()
    except HomeostatError as e:
        return CheckResult(False, name, masked(e.message), e.fix)
    except OSError as e:
        return CheckResult(False, name, str(e))


async def _data(settings: Settings) -> CheckResult:
    await asyncio.to_thread(data_folder.prepare, settings.data_dir)
    free = data_folder.free_bytes(settings.data_dir)
    if free is not None and free < data_folder.LEAST_BYTES:
        return CheckResult(
            False, "data", f"{free / 1e6:.0f} MB are left where {settings.data_dir} is", "free disk space"
        )
    room = "" if free is None else f", {free / 1e9:.1f} GB are left"
    return CheckResult(True, "data", f"{settings.data_dir} can be written{room}")


async def _log(ctx: click.Context, broker: str | None) -> list[CheckResult]:
    try:
        async with connected(ctx, broker) as (client, settings):
            return [
                CheckResult(True, "broker", f"{client.bootstrap} answers{_open(settings, broker)}"),
                await _guarded("topics", lambda: _topics(client, settings)),
                await _guarded("clock", lambda: _clock(client)),
                await _guarded("pace", lambda: _pace(client)),
                await _guarded("letters", lambda: _letters(client)),
            ]
    except HomeostatError as e:
        return [CheckResult(False, "broker", masked(e.message), e.fix)]


def _open(settings: Settings, broker: str | None) -> str:
    """librdkafka's mock cluster listens on loopback, without any authentication, and on no other kind of socket."""
    embedded = broker is None and not settings.broker.url.startswith("kafka://")
    return "; it is the embedded one: every user of this machine can read it, and steer by it" if embedded else ""


async def _topics(client: KafkaBroker, settings: Settings) -> CheckResult:
    found = await client.ensure_topics(settings.broker.partitions, settings.ingest.topics)
    missing = [t for t in TOPICS if t not in found]
    if missing:
        return CheckResult(False, "topics", f"missing: {', '.join(missing)}", "homeostat topics create")
    shared = {found[t.name] for t in TOPICS.values() if t.partitioning.value == "environment"}
    if len(shared) > 1:
        text = f"topics of an environment differ in partitions: {sorted(shared)}"
        return CheckResult(False, "topics", text, "give them all the same number of partitions")
    if settings.broker.url.startswith("kafka://"):
        by_sender = sorted(t for t, stamped in (await client.stamped_by_broker(INGRESS)).items() if not stamped)
        if by_sender:
            return CheckResult(False, "topics", f"{UNSTAMPED} {', '.join(by_sender)}", STAMP_FIX)
    return CheckResult(True, "topics", f"all {len(found)} exist")


async def _clock(client: KafkaBroker) -> CheckResult:
    """Compare this machine's clock with the newest telemetry: what is from the future was stamped by another clock."""
    newest = max(
        [unpack(FeatureFrame, r.value).window_ns async for r in client.read([FEATURES], last=1)],
        default=None,
    )
    if newest is None:
        return CheckResult(True, "clock", "no telemetry yet to compare with")
    ahead_s = (newest - SystemClock().now_ns()) / SECOND
    if ahead_s > 2:
        return CheckResult(
            False, "clock", f"telemetry is {ahead_s:.1f} s ahead of this clock", "synchronise the clocks (NTP)"
        )
    return CheckResult(True, "clock", f"newest telemetry is {-ahead_s:.1f} s old")


async def _pace(client: KafkaBroker) -> CheckResult:
    """Compare the newest message that came with the newest that was made of them: what no process reads grows old."""
    ingress = [t for t in INGRESS if t in TOPICS]
    came = max([r.timestamp_ms async for r in client.read(ingress, last=1)], default=None)
    made = max([r.timestamp_ms async for r in client.read([FEATURES], last=1)], default=None)
    if came is None:
        return CheckResult(True, "pace", "no telemetry has come yet")
    behind_s = (came - made) / 1e3 if made is not None else time.time() - came / 1e3
    if behind_s > BEHIND_S:
        text = f"nothing was made of the telemetry of the last {behind_s:.0f} s"
        fix = "is a worker running, and what does it lack (`homeostat status`)? is all of it late or refused?"
        return CheckResult(False, "pace", text, fix)
    return CheckResult(True, "pace", "telemetry is read as it comes")


async def _processes(ctx: click.Context, settings: Settings, broker: str | None) -> list[CheckResult]:
    try:
        found = await overview(ctx, settings, broker)
    except HomeostatError:
        return []  # the log is away, and has a finding of its own
    if not found.processes:  # before the first start that is as it should be; telemetry that waits is a matter of pace
        text = (
            f"none is heard of at {found.source}: nothing is looked at until `homeostat up` or `homeostat worker` runs"
        )
        return [CheckResult(True, "process", text)]
    return [_process(p) for p in found.processes]


def _process(process: Process) -> CheckResult:
    text = f"{process.node}: {process.condition}, {process.behind_s:.1f} s behind"
    if process.healthy:
        return CheckResult(True, "process", text)
    why = "; ".join(process.lacks) or process.reason or "it says that it is not well"
    return CheckResult(False, "process", f"{text}; {why}", "see `homeostat status` and its log")


async def _policy(settings: Settings) -> CheckResult:
    policy = open_policy(settings.act.policy, settings.plugins)
    try:
        await policy.evaluate({})
    finally:
        await policy.close()
    return CheckResult(True, "policy", "it answers" if settings.act.policy else "the built-in one")


async def _letters(client: KafkaBroker) -> CheckResult:
    reasons = Counter([decode(DeadLetter, r.value).reason async for r in client.read([DEADLETTER], last=1000)])
    if not reasons:
        return CheckResult(True, "letters", "no dead letters")
    text = ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())
    return CheckResult(
        True,
        "letters",
        f"dead letters (newest 1000 per partition): {text}",
        "read them: homeostat watch --from-beginning",
    )


async def _graph(settings: Settings) -> CheckResult:
    def count() -> int:
        with reader(settings) as store:
            return int(store.query("MATCH (s:Service) RETURN count(s) AS n")[0]["n"])

    return CheckResult(
        True, "graph", f"{settings.graph.store} answers, {await asyncio.to_thread(count)} services known"
    )


async def _cluster(settings: Settings) -> CheckResult:
    from connectors.actuators.kubernetes import cluster_version

    return CheckResult(True, "cluster", await cluster_version(settings.act))


def _binding(settings: Settings) -> CheckResult:
    """Whether anything may be acted on at all."""
    bound = settings.act.environments
    if not bound:
        fix = f"bind what may be acted on: --set act.environments='{{{settings.environment}: {{}}}}'; see docs/operations.md"
        return CheckResult(False, "acting", "no environment is bound to anything: every action will be refused", fix)
    return CheckResult(True, "acting", f"environments that may be acted on: {', '.join(sorted(bound))}")


async def _plugins(settings: Settings) -> list[CheckResult]:
    """One line for each plugin."""
    try:
        found = reports(settings, built_in=False)
    except HomeostatError as e:
        return [CheckResult(False, "plugin", e.message, e.fix)]
    return [
        CheckResult(
            not p.problem,
            "plugin",
            p.problem or f"{p.kind.replace('_', ' ')} {p.name!r} of {p.brought_by}{'' if p.in_use else ', not in use'}",
        )
        for p in found
    ] or [CheckResult(True, "plugins", "none is installed")]


async def _playbooks(settings: Settings) -> CheckResult:
    found = load_playbooks(settings.act)
    named = names_for(settings.act)
    text = f"{len(found)} playbooks, no mistakes"
    undone = _undone(settings)
    idle = {p.name: [path for s in p.steps for path in (*_unnamed(s, named), *undone.get(s.action, ()))] for p in found}
    idle = {name: missing for name, missing in idle.items() if missing}
    if not idle:
        return CheckResult(True, "playbooks", text)
    wanted = sorted({m for missing in idle.values() for m in missing})
    why = f"{', '.join(sorted(idle))} can never be chosen: nothing defines {', '.join(wanted)}"
    return CheckResult(
        True, "playbooks", f"{text}; {why}", f"set {', '.join(wanted)}, or leave it: a person is asked instead"
    )


def _undone(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Actions that nobody here does, each with the setting that would name who does: `act.actions.flag`. A plugin's actuator may do any."""
    if not set(settings.act.actuators) <= BUILT_IN - {"dry-run"}:
        return {}
    beside = (a.name for a in installed_actions().values() if a.beside and a.name not in settings.act.actions)
    return {name: (f"act.actions.{name}",) for name in beside}


def _unnamed(step: Step, named: Named) -> Iterator[str]:
    """Settings that a step counts on and that are not there: `act.webhooks.pager`."""
    for argument in action_of(step.action).arguments:
        name = step.arguments.get(argument.key)
        if name is not None and argument.named_by in named and name not in named[argument.named_by]:
            yield f"{argument.named_by}.{name}"
