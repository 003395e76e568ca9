"""`homeostat doctor`: one line per check, and what to fix."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import click

from connectors.kafka.client import KafkaBroker
from contracts.errors import HomeostatError
from contracts.events import DeadLetter, decode
from contracts.frames import FeatureFrame, unpack
from contracts.ports import UNBOUND
from contracts.settings import Settings
from contracts.topics import DEADLETTER, FEATURES, TOPICS
from homeostat.cli.app import settings_of
from homeostat.cli.common import broker_option, connected, run
from homeostat.cli.graph import reader
from homeostat.wiring import load_playbooks


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `fix` is empty where nothing needs fixing."""

    ok: bool
    check: str
    text: str
    fix: str = ""


Check = Callable[[], Awaitable[Finding]]


@click.command()
@broker_option
@click.pass_context
def doctor(ctx: click.Context, broker: str | None) -> None:
    """Check broker, topics, graph, clock and cluster, and say what to fix. Exit status 1 if something must be fixed."""
    settings = settings_of(ctx)
    findings = run(_all(ctx, settings, broker))
    for f in findings:
        click.echo(f"{'ok ' if f.ok else 'FIX'} {f.check:10} {f.text}" + (f"\n{'':15}-> {f.fix}" if f.fix else ""))
    if not all(f.ok for f in findings):
        raise SystemExit(1)


async def _all(ctx: click.Context, settings: Settings, broker: str | None) -> list[Finding]:
    return [
        await _guarded("data", lambda: _data(settings)),
        *await _log(ctx, broker),
        await _guarded("graph", lambda: _graph(settings)),
        *([await _guarded("cluster", lambda: _cluster(settings))] if "kubernetes" in settings.act.actuators else []),
        *([_binding(settings)] if set(settings.act.actuators) - UNBOUND or settings.act.commands else []),
        await _guarded("playbooks", lambda: _playbooks(settings)),
    ]


async def _guarded(name: str, check: Check) -> Finding:
    try:
        return await check()
    except HomeostatError as e:
        return Finding(False, name, e.message, e.fix)
    except OSError as e:
        return Finding(False, name, str(e))


async def _data(settings: Settings) -> Finding:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    probe = settings.data_dir / ".doctor"
    probe.write_bytes(b"x")
    probe.unlink()
    return Finding(True, "data", f"{settings.data_dir} can be written")


async def _log(ctx: click.Context, broker: str | None) -> list[Finding]:
    try:
        async with connected(ctx, broker) as (client, settings):
            return [
                Finding(True, "broker", f"{client.bootstrap} answers"),
                await _guarded("topics", lambda: _topics(client, settings)),
                await _guarded("clock", lambda: _clock(client)),
                await _guarded("letters", lambda: _letters(client)),
            ]
    except HomeostatError as e:
        return [Finding(False, "broker", e.message, e.fix)]


async def _topics(client: KafkaBroker, settings: Settings) -> Finding:
    found = await client.ensure_topics(settings.broker.partitions)
    missing = [t for t in TOPICS if t not in found]
    if missing:
        return Finding(False, "topics", f"missing: {', '.join(missing)}", "homeostat topics create")
    shared = {found[t.name] for t in TOPICS.values() if t.partitioning.value == "environment"}
    if len(shared) > 1:
        text = f"topics of an environment differ in partitions: {sorted(shared)}"
        return Finding(False, "topics", text, "give them all the same number of partitions")
    return Finding(True, "topics", f"all {len(found)} exist")


async def _clock(client: KafkaBroker) -> Finding:
    """Compare this machine's clock with the newest telemetry: what is from the future was stamped by another clock."""
    newest = max(
        [unpack(FeatureFrame, r.value).window_ns async for r in client.read([FEATURES], last=1)],
        default=None,
    )
    if newest is None:
        return Finding(True, "clock", "no telemetry yet to compare with")
    ahead_s = (newest - time.time_ns()) / 1e9
    if ahead_s > 2:
        return Finding(
            False, "clock", f"telemetry is {ahead_s:.1f} s ahead of this clock", "synchronise the clocks (NTP)"
        )
    return Finding(True, "clock", f"newest telemetry is {-ahead_s:.1f} s old")


async def _letters(client: KafkaBroker) -> Finding:
    reasons = Counter([decode(DeadLetter, r.value).reason async for r in client.read([DEADLETTER], last=1000)])
    if not reasons:
        return Finding(True, "letters", "no dead letters")
    text = ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())
    return Finding(
        True,
        "letters",
        f"dead letters (newest 1000 per partition): {text}",
        "read them: homeostat watch --from-beginning",
    )


async def _graph(settings: Settings) -> Finding:
    def count() -> int:
        with reader(settings) as store:
            return int(store.query("MATCH (s:Service) RETURN count(s) AS n")[0]["n"])

    return Finding(True, "graph", f"{settings.graph.store} answers, {await asyncio.to_thread(count)} services known")


async def _cluster(settings: Settings) -> Finding:
    from connectors.actuators.kubernetes import cluster_version

    return Finding(True, "cluster", await cluster_version(settings.act))


def _binding(settings: Settings) -> Finding:
    """Whether anything may be acted on at all."""
    bound = settings.act.environments
    if not bound:
        fix = f"bind what may be acted on: --set act.environments='{{{settings.environment}: {{}}}}'; see docs/operations.md"
        return Finding(False, "acting", "no environment is bound to anything: every action will be refused", fix)
    return Finding(True, "acting", f"environments that may be acted on: {', '.join(sorted(bound))}")


async def _playbooks(settings: Settings) -> Finding:
    return Finding(True, "playbooks", f"{len(load_playbooks(settings.act))} playbooks, no mistakes")
