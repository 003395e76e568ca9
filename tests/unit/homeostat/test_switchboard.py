"""What is in force when a process starts, by what outlived the one before it; and the commands where nothing runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner

from connectors.journal.sqlite import SqliteJournal
from connectors.kafka.client import KafkaBroker
from connectors.kafka.embedded import EmbeddedBroker
from contracts.errors import BrokerUnavailable, UnreadableEvent
from contracts.events import Control, NodeStatus, decode, encode
from contracts.ports import Record, SystemClock
from contracts.settings import BrokerSettings
from contracts.topics import CONTROL
from contracts.verdicts import Autonomy
from homeostat.cli.app import cli
from homeostat.control_client import judged, turn
from homeostat.endpoints import Endpoints, publish
from homeostat.switchboard import MARK, Switchboard, begin_in
from playbooks.runs import switches
from tests.checks.switches.world import Client, Log
from tests.unit.playbooks.runs.support import MemoryJournal

STOP = Control(scope="*", acting=False, autonomy=Autonomy.OBSERVE, by="ann", time_ns=1, reason="drill")
GO = Control(scope="*", acting=True, autonomy=Autonomy.SUGGEST, by="ann", time_ns=0)


def acting(journal: SqliteJournal | MemoryJournal, environment: str = "shop") -> bool:
    return switches.mode_of(journal, environment).acting


async def life(folder: Path, log_id: str, *said: Control) -> tuple[bool, list[Control]]:
    """One life of an embedded process in which switches are turned: whether it may act at its end, and what its log holds."""
    journal = SqliteJournal(folder / "journal.sqlite")
    begin_in(folder, journal, time.time_ns(), fresh=journal.fresh)
    broker = EmbeddedBroker(BrokerSettings())
    await broker.start()
    await broker.ensure_topics(4)
    board = Switchboard(broker, journal, SystemClock(), log_id, lambda scope: None)
    try:
        await board.start()
        for control in said:
            await turn(broker, control)
        await board.caught_up(60)
        return acting(journal), [decode(Control, r.value) async for r in broker.read([CONTROL])]
    finally:
        await board.stop()
        await broker.stop()
        journal.close()


async def test_a_first_start_may_act_and_a_stop_outlives_its_process(tmp_path: Path) -> None:
    may, log = await life(tmp_path, "1")
    assert (may, [c.initial for c in log]) == (True, [True])
    assert (await life(tmp_path, "2", STOP))[0] is False
    may, log = await life(tmp_path, "3")
    assert (may, [(c.acting, c.reason) for c in log]) == (False, [(False, "drill")]), "the new log is told, too"
    assert (await life(tmp_path, "4", GO))[0] is True
    assert (await life(tmp_path, "5"))[0] is True
    assert (tmp_path / MARK).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("trace", [MARK, "state.sqlite"])
async def test_a_journal_that_was_lost_took_the_switches_with_it(tmp_path: Path, trace: str) -> None:
    await life(tmp_path, "1", STOP)
    for file in tmp_path.iterdir():
        file.unlink()
    (tmp_path / trace).write_text("")
    assert (await life(tmp_path, "2"))[0] is False
    assert (await life(tmp_path, "3"))[0] is False
    assert (await life(tmp_path, "4", GO))[0] is True
    assert (await life(tmp_path, "5"))[0] is True


async def test_a_journal_of_an_earlier_release_in_which_nobody_said_anything_may_act(tmp_path: Path) -> None:
    SqliteJournal(tmp_path / "journal.sqlite").close()
    (tmp_path / "state.sqlite").write_text("")
    assert (await life(tmp_path, "1"))[0] is True


def said(folder: Path, *arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(cli, ["--data-dir", str(folder), *arguments])
    return found.exit_code, found.output


async def test_where_nothing_runs_a_stop_is_armed_and_taken_back(tmp_path: Path) -> None:
    code, output = said(tmp_path, "stop-acting", "--reason", "before the first start")
    assert (code, "nothing runs" in output) == (0, True)
    may, log = await life(tmp_path, "1")
    assert (may, [c.reason for c in log if not c.acting]) == (False, ["before the first start"])
    assert said(tmp_path, "resume", "--autonomy", "suggest")[0] == 0
    may, log = await life(tmp_path, "2")
    assert (may, [c.autonomy for c in log]) == (True, [Autonomy.SUGGEST])


async def test_an_environment_can_be_armed_before_the_first_start(tmp_path: Path) -> None:
    assert said(tmp_path, "stop-acting", "--environment", "other")[0] == 0
    assert (await life(tmp_path, "1"))[0] is True
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    assert not acting(journal, "other")
    journal.close()


def test_who_runs_and_does_not_answer_is_stopped_by_its_journal(tmp_path: Path) -> None:
    """It has the file open: nothing more happens there, though its loop may hang. The command says what it knows."""
    import os

    journal = SqliteJournal(tmp_path / "journal.sqlite")
    begin_in(tmp_path, journal, 1, fresh=True)
    publish(tmp_path, Endpoints(pid=os.getpid(), broker="127.0.0.1:1", api="http://127.0.0.1:1"))
    assert acting(journal)
    code, output = said(tmp_path, "stop-acting")
    assert (code, "NOT confirmed" in output) == (3, True)
    assert not acting(journal)
    journal.close()


# --- on Kafka


def board_on(log: Log, journal: MemoryJournal) -> tuple[Switchboard, Client]:
    client = Client(log)
    return Switchboard(cast("KafkaBroker", client), journal, SystemClock(), "", lambda scope: None), client


async def test_two_that_begin_at_once_and_a_person_who_is_faster_than_one(tmp_path: Path) -> None:
    log, journals = Log(), (MemoryJournal(), MemoryJournal())
    await board_on(log, journals[0])[0].start()
    await turn(cast("KafkaBroker", Client(log)), STOP)
    record = log.records[1][0] if log.records[1] else log.records[0][0]
    log.append(record.partition, record.value, record.key)  # what the second one writes, who saw nothing yet
    board, _ = board_on(log, journals[1])
    await board.start()
    assert not acting(journals[1])


async def test_a_topic_that_lost_everything_stops_who_starts(tmp_path: Path) -> None:
    log, journal = Log(), MemoryJournal()
    log.traces = 3
    board, client = board_on(log, journal)
    await board.start()
    assert not acting(journal)
    assert "lost" in board.stopped()["*"]
    await turn(cast("KafkaBroker", client), GO)
    await board.caught_up(30)
    assert acting(journal)


async def test_a_topic_that_is_made_anew_under_a_process_stops_it(tmp_path: Path) -> None:
    log, journal = Log(), MemoryJournal()
    board, client = board_on(log, journal)
    await board.start()
    await turn(cast("KafkaBroker", client), GO)
    await board.caught_up(30)
    log.make_anew()
    await board.caught_up(30)
    assert not acting(journal)
    await turn(cast("KafkaBroker", client), GO)
    await board.caught_up(30)
    assert acting(journal)


async def test_what_cannot_be_read_is_not_known() -> None:
    log, journal = Log(), MemoryJournal()
    board, client = board_on(log, journal)
    await board.start()
    client.deaf = True
    with pytest.raises(BrokerUnavailable):
        await board.caught_up(30)
    with pytest.raises(BrokerUnavailable):
        await board_on_deaf(log).start()


def board_on_deaf(log: Log) -> Switchboard:
    board, client = board_on(log, MemoryJournal())
    client.deaf = True
    return board


@pytest.mark.parametrize(
    "value", [b"", b"nonsense", b'{"scope":"*"}', encode(GO).replace(b'"version":1', b'"version":9')]
)
async def test_a_record_that_cannot_be_read_stops(value: bytes) -> None:
    log, journal = Log(), MemoryJournal()
    board, _ = board_on(log, journal)
    await board.start()
    with pytest.raises(UnreadableEvent):
        await board.take(Record(CONTROL, 0, 5, b"*", value))
    assert not acting(journal)


# --- confirmations


def status(name: str, **changes: object) -> NodeStatus:
    given = {"node": name, "stage": "", "lifecycle": "running", "healthy": True, "time_ns": 1}
    return NodeStatus(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "confirms"),
    [
        ({"controls": {"1": 4}, "stopped": {"*": "by ann"}}, True),
        ({"controls": {"1": 9}, "stopped": {"*": "by ann"}}, True),
        ({"controls": {"1": 3}, "stopped": {"*": "by bob"}}, False),
        ({"controls": {"0": 9}, "stopped": {"*": "by bob"}}, False),
        ({"controls": {"1": 4}}, False),
        ({"controls": {"1": 4}, "stopped": {"*": "by ann"}, "effects": ("run-1",)}, False),
        ({}, False),  # of an earlier release
    ],
)
def test_who_confirms_a_stop(changes: dict[str, object], confirms: bool) -> None:
    found = judged({"n": status("n", **changes)}, {"1": 4}, STOP)
    assert (found.confirmed == ("n",), list(found.waiting)) == (confirms, [] if confirms else ["n"])


def test_who_has_ended_is_not_waited_for_and_who_is_silent_is_whatever_clocks_say() -> None:
    reports = {
        "ended": status("ended", lifecycle="stopping"),
        "silent": status("silent", time_ns=1),
        "well": status("well", controls={"1": 4}, stopped={"*": ""}, time_ns=10**18),
    }
    found = judged(reports, {"1": 4}, STOP)
    assert (found.confirmed, list(found.waiting)) == (("well",), ["silent"])


def test_going_on_is_confirmed_by_who_does_not_stay_stopped() -> None:
    stopped = status("n", controls={"0": 1, "1": 4}, stopped={"*": "by homeostat: a record can't be read"})
    assert "can't be read" in judged({"n": stopped}, {"0": 1, "1": 4}, GO).waiting["n"]
    assert judged({"n": status("n", controls={"0": 1, "1": 4})}, {"0": 1, "1": 4}, GO).confirmed == ("n",)
