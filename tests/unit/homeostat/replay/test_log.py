"""`homeostat replay --from-kafka` over the embedded broker: refusals, and differences named by their first field."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import click
import pytest
from click.testing import CliRunner

from connectors.kafka.client import KafkaBroker
from connectors.kafka.embedded import EmbeddedBroker
from contracts.errors import Permanent, UnknownName
from contracts.events import Candidate, Decision, Incident, decode, encode
from contracts.frames import pack
from contracts.ports import Record, TargetState
from contracts.settings import BrokerSettings, Settings, load
from contracts.topics import DECISIONS, EVIDENCE, INCIDENTS, OTLP_SPANS, PARTIALS, TARGETS, TOPICS
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind, IncidentPhase, Severity
from homeostat.cli.app import cli
from homeostat.cli.replay_log import place, time_ns
from homeostat.implementations import load_playbooks
from homeostat.replay.log import Replayed, ReplayRequest, compared, neighbours, recorded, replayed, since_offset
from homeostat.wiring import recorded_specs
from streams.host import StageHost
from streams.stage import Emit
from tests.acting_half import whole
from tests.unit.playbooks.decision.test_pending import frame
from tests.unit.streams.windows.support import Span, otlp

T0 = 1_800_000_000 * S
SETTINGS = load({"decide": {"learn_s": 0}})
PARTITIONS = dict.fromkeys(TOPICS, 4)
INCIDENT = Incident(
    id="inc-1", environment="prod", phase=IncidentPhase.OPENED, severity=Severity.CRITICAL, onset_ns=T0, time_ns=T0, revision=1,
    anomalies=(), services=("cart",), blast_radius=("web",), confidence=1.0, settled=True, text="",
    candidates=(Candidate(service="cart", kind=CauseKind.CRASH, probability=0.9, evidence=(), path=()),),
)  # fmt: skip


@pytest.fixture
async def broker() -> AsyncIterator[KafkaBroker]:
    """A log with two incidents and what a recorded stage decided on them; whoever acts reports more replicas each time."""
    embedded = await _log()
    host = StageHost(
        s for s in recorded_specs(SETTINGS, PARTITIONS, load_playbooks(SETTINGS.act)) if s.name == "decide"
    )

    async def take(topic: str, key: bytes, value: bytes, number: int, now_ns: int) -> None:
        await embedded.send(topic, value, key=key, partition=1)
        for emit in host.handle(Record(topic, 1, number, key, value), now_ns):
            assert isinstance(emit, Emit)
            await embedded.send(emit.topic, emit.value, key=emit.key.encode(), partition=1)

    await take(EVIDENCE, b"prod", pack(frame(T0)), 0, T0)
    for i, name in enumerate(("inc-1", "inc-2")):
        report = whole("prod", T0 + i * S, {"cart": TargetState(i + 1, i + 1)}, number=i + 1)
        await take(TARGETS, b"prod", encode(report), i, T0 + i * S)
        await take(INCIDENTS, name.encode(), encode(INCIDENT).replace(b"inc-1", name.encode()), i, T0 + i * S)
    yield embedded
    await embedded.stop()


async def _log() -> EmbeddedBroker:
    embedded = EmbeddedBroker(BrokerSettings())
    await embedded.start()
    await embedded.ensure_topics(4)
    return embedded


async def _replayed(broker: KafkaBroker, settings: Settings = SETTINGS) -> Replayed:
    return await replayed(broker, settings, await recorded(broker, ("decide",)), ReplayRequest())


async def test_the_log_and_the_replay_are_the_same(broker: KafkaBroker) -> None:
    again = await _replayed(broker)
    assert [decode(Decision, value).incident for _, (_, _, value) in again.events] == ["inc-1", "inc-2"]
    assert (again.broken, again.made_otherwise) == ([], [])
    assert await compared(broker, again, ReplayRequest(), (DECISIONS,)) == []


async def test_a_window_and_an_offset_cut_both_sides_alike(broker: KafkaBroker) -> None:
    for where in ((DECISIONS, 1, 1), (INCIDENTS, 1, 1)):
        found = await recorded(broker, ("decide",))
        wanted = ReplayRequest(since_ns=await since_offset(broker, found, where))
        again = await replayed(broker, SETTINGS, found, wanted)
        assert [decode(Decision, value).incident for _, (_, _, value) in again.events] == ["inc-2"]
        assert await compared(broker, again, wanted, (DECISIONS,)) == []
    with pytest.raises(Permanent, match=r"decide took nothing from telemetry\.incidents/1 at offset 9 or later"):
        await since_offset(broker, found, (INCIDENTS, 1, 9))


async def test_the_first_field_that_differs_is_named(broker: KafkaBroker) -> None:
    again = await _replayed(broker)
    topic, key, value = again.events[0][1]
    forged = value.replace(b'"autonomy":"act"', b'"autonomy":"observe"')
    assert forged != value
    again.events[0] = (T0, (topic, key, forged))
    (difference,) = await compared(broker, again, ReplayRequest(), (DECISIONS,))
    assert (difference.where, difference.text) == ("autonomy", '"act" in the log, "observe" in the replay')
    again.events = again.events[1:]
    (difference,) = await compared(broker, again, ReplayRequest(), (DECISIONS,))
    assert (difference.where, difference.text) == ("", "only in the log")


async def test_other_settings_are_noticed(broker: KafkaBroker) -> None:
    again = await _replayed(broker, load({"decide": {"autonomy": "observe", "learn_s": 0}}))
    assert again.made_otherwise == ["decide/telemetry.incidents/1"]
    found = await compared(broker, again, ReplayRequest(), (DECISIONS,))
    assert len(found) == 2
    assert all(d.where for d in found)


@pytest.mark.parametrize("url", ["embedded://", "kafka://elsewhere:9092"])
async def test_what_is_emitted_is_spread_as_the_process_did_that_wrote_the_log(url: str) -> None:
    """Whoever replays need not name the process's broker: the embedded one emits to one partition, a fleet's worker to all."""
    settings = load({"broker": {"url": url}, "decide": {"recorded": ["ingest"]}})
    embedded = await _log()
    try:
        await embedded.send(
            OTLP_SPANS, otlp([Span(f"s{n}", n, n, 0, 2, T0, T0 + S // 10) for n in range(1, 9)]), partition=0
        )
        (sent,) = [r async for r in embedded.read([OTLP_SPANS])]
        host = StageHost(s for s in recorded_specs(settings, PARTITIONS, ()) if s.name == "ingest")
        for emit in [*host.handle(sent, T0), *host.tick(T0 + 2 * S), *host.tick(T0 + 90 * S)]:
            assert isinstance(emit, Emit)
            await embedded.send(emit.topic, emit.value, key=emit.key.encode(), partition=emit.partition)
        wanted = ReplayRequest(("ingest",))
        again = await replayed(embedded, load({}), await recorded(embedded, wanted.stages), wanted)
        assert ({r.partition async for r in embedded.read([PARTIALS])} == {0}) == (url == "embedded://")
        assert await compared(embedded, again, wanted, (PARTIALS,)) == []
    finally:
        await embedded.stop()


async def test_unknown_stages_are_refused(broker: KafkaBroker) -> None:
    with pytest.raises(UnknownName, match=r"recorded stage 'detect'.*decide"):
        await recorded(broker, ("detect",))
    with pytest.raises(UnknownName, match="stage 'decid'"):
        neighbours(SETTINGS, PARTITIONS, "decid")
    with pytest.raises(UnknownName, match=r"decide\.recorded"):
        recorded_specs(load({"decide": {"recorded": ["dcide"]}}), PARTITIONS, ())


async def test_the_command_tells_and_judges(broker: KafkaBroker) -> None:
    command = ["replay", "--from-kafka", f"kafka://{broker.bootstrap}", "--compare"]
    learnt = {"HOMEOSTAT_DECIDE__LEARN_S": "0"}
    result = await asyncio.to_thread(CliRunner(env=learnt).invoke, cli, command)
    assert (result.exit_code, "2 events of decide: the same as in the log, byte for byte" in result.output) == (0, True)
    result = await asyncio.to_thread(
        CliRunner(env={**learnt, "HOMEOSTAT_DECIDE__AUTONOMY": "observe"}).invoke, cli, command
    )
    assert (result.exit_code, "2 differ" in result.output) == (1, True)


def test_times_and_places() -> None:
    assert time_ns("2026-01-31T12:00:00Z") == time_ns("2026-01-31T12:00:00") == 1_769_860_800 * S
    assert time_ns("2026-01-31T12:00:00.000001+01:00") == (1_769_860_800 - 3600) * S + 1000
    assert place("telemetry.incidents/3@1200") == ("telemetry.incidents", 3, 1200)
    for wrong, read in (("yesterday", time_ns), ("telemetry.incidents", place), ("a/b@c", place)):
        with pytest.raises(click.BadParameter):
            read(wrong)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give FILES, or --from-kafka"),
        (["--from-kafka", "kafka://127.0.0.1:1", __file__], "give FILES, or --from-kafka"),
        (["--from-kafka", "kafka://127.0.0.1:1", "--speed", "2"], "are for FILES"),
    ],
)
def test_options_that_exclude_each_other(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(cli, ["replay", *arguments])
    assert (result.exit_code, said in result.output) == (2, True), result.output
