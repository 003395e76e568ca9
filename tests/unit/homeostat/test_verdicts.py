"""`homeostat verdict`: what people say gets onto the log once, and what makes no sense is refused with what to do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import pytest
from click.testing import CliRunner, Result

from contracts.events import Incident, IncidentVerdict, Strictness, decode, encode
from contracts.frames import pack
from contracts.ports import Record, SystemClock
from contracts.settings import load
from contracts.topics import EVIDENCE, INCIDENTS, STRICTNESS, VERDICTS
from contracts.units import DAY, MINUTE
from contracts.verdicts import VerdictKind
from homeostat.cli import verdicts
from homeostat.cli.app import cli
from homeostat.cli.status import lines
from homeostat.status import Overview, of_log
from homeostat.strictness_told import StrictnessTold, line
from homeostat.times import utc
from models.strictness import EnvironmentRecord
from tests.unit.contracts.samples import EVENTS
from tests.unit.homeostat.test_service_states import frame

NOW = SystemClock().now_ns()


@dataclass
class Log:
    """A log of messages that takes more."""

    messages: list[tuple[str, bytes]] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    bootstrap: str = "k:1"

    async def read(self, topics: Sequence[str], **_: object) -> AsyncIterator[Record]:
        for offset, (topic, value) in enumerate(list(self.messages)):
            if topic in topics:
                yield Record(topic, 0, offset, None, value, (), NOW // 1_000_000)

    async def ensure_topics(self, partitions: int) -> Mapping[str, int]:
        return {}

    async def send(self, topic: str, value: bytes, *, key: bytes) -> None:
        self.messages.append((topic, value))
        self.keys.append(key)

    @property
    def said(self) -> list[IncidentVerdict]:
        return [decode(IncidentVerdict, value) for topic, value in self.messages if topic == VERDICTS and value != b"?"]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    incident = EVENTS["Incident"]
    assert isinstance(incident, Incident)
    told = msgspec.structs.replace(incident, id="inc-1", environment="prod")
    made = Log(
        [
            (INCIDENTS, encode(told)),
            (INCIDENTS, b"?"),
            (VERDICTS, b"?"),
            (EVIDENCE, pack(frame({"cart": "healthy"}, 0))),
        ]
    )

    @asynccontextmanager
    async def connected(ctx: object, broker: str | None) -> AsyncIterator[tuple[Log, object]]:
        yield made, load(environ={}).model_copy(update={"environment": "prod"})

    monkeypatch.setattr(verdicts, "connected", connected)
    return made


def say(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["verdict", *arguments])


def test_a_false_alarm_is_said_once_and_taken_back(log: Log) -> None:
    assert say("false-alarm", "inc-1", "--comment", "the nightly report").output.startswith(
        "inc-1 was a false alarm (prod)"
    )
    (word,) = log.said
    assert (word.id, word.environment, word.verdict, word.comment) == (
        "inc-1",
        "prod",
        VerdictKind.FALSE_ALARM,
        "the nightly report",
    )
    again = say("false-alarm", "inc-1")
    assert again.exit_code == 1
    assert re.search(
        r"said at .*Z that inc-1 was a false alarm; nothing was changed \(--withdraw takes it back\)", again.output
    )
    other = say("right", "inc-1", "--withdraw")
    assert "that inc-1 was a false alarm; nothing was changed" in other.output
    assert len(log.said) == 1
    assert say("false-alarm", "inc-1", "--withdraw").exit_code == 0
    assert log.said[-1].verdict is VerdictKind.WITHDRAWN
    assert log.said[-1].time_ns > word.time_ns
    assert set(log.keys) == {b"prod/inc-1"}


def test_the_newest_verdict_holds_whatever_this_clock_says(log: Log) -> None:
    ahead = IncidentVerdict(
        id="inc-1", environment="prod", verdict=VerdictKind.FALSE_ALARM, by="x", time_ns=NOW + DAY, about_ns=0
    )
    log.messages.append((VERDICTS, encode(ahead)))
    assert say("right", "inc-1").exit_code == 0
    record = EnvironmentRecord("prod")
    for word in log.said:
        record.note_verdict(word, NOW)
    assert record.verdicts["inc-1"].verdict is VerdictKind.RIGHT


def test_what_was_missed_is_said_of_a_service_and_a_time(log: Log) -> None:
    at = utc(NOW - 30 * MINUTE)
    assert "what cart had at" in say("missed", "cart", "--at", at).output
    (word,) = log.said
    assert (word.service, word.id, word.verdict) == ("cart", f"missed:cart@{at}", VerdictKind.MISSED)
    near = say("missed", "cart", "--at", utc(NOW - 31 * MINUTE))
    assert (near.exit_code, "nothing was changed" in near.output) == (1, True), "one incident, not two"
    assert say("missed", "cart", "--at", utc(NOW - 90 * MINUTE)).exit_code == 0
    assert say("missed", "cart", "--at", utc(NOW - 29 * MINUTE), "--withdraw").exit_code == 0
    assert (log.said[-1].id, log.said[-1].verdict) == (word.id, VerdictKind.WITHDRAWN)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("false-alarm", "inc-9"), "no incident 'inc-9' on telemetry.incidents"),
        (("right", "inc-9"), "see `homeostat watch --from-beginning`"),
        (("missed", "card", "--at", utc(NOW)), "no service 'card' is known in prod; did you mean 'cart'?"),
        (("missed", "cart", "--environment", "x", "--at", utc(NOW)), "is known in x; see `homeostat status`"),
        (("missed", "cart", "--at", "noon"), "'noon' is no ISO 8601 time, as 2026-01-31T12:00:00Z"),
        (("missed", "cart", "--at", utc(NOW + DAY)), "is yet to come"),
        (("missed", "cart", "--at", utc(NOW - 40 * DAY)), "more than four weeks ago"),
        (("missed", "cart"), "Missing option '--at'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_do(log: Log, arguments: tuple[str, ...], text: str) -> None:
    found = say(*arguments)
    assert found.exit_code != 0
    assert text in " ".join(found.output.split())
    assert log.said == []


def test_what_was_said_before_the_log_began_can_be_taken_back(log: Log) -> None:
    assert "it counts if there was one before" in say("false-alarm", "inc-0", "--withdraw").output
    assert [(w.id, w.environment, w.verdict) for w in log.said] == [("inc-0", "prod", VerdictKind.WITHDRAWN)]


# --- what is told of it


def strictness(environment: str = "prod", **changes: object) -> Strictness:
    sample = EVENTS["Strictness"]
    assert isinstance(sample, Strictness)
    return msgspec.structs.replace(sample, environment=environment, **changes)


async def test_status_tells_the_last_word_of_each_environment() -> None:
    log = Log([(EVIDENCE, pack(frame({"cart": "healthy"}, 0))), (STRICTNESS, b"?")])
    log.messages += [(STRICTNESS, encode(strictness(time_ns=t, opened=t))) for t in (5, 7, 9)]
    found = await of_log(log, load(environ={}), NOW)  # type: ignore[arg-type]
    assert [w.opened for w in found.strictness] == [9]


def test_status_says_what_is_accepted_what_came_of_incidents_and_why() -> None:
    row = {"environment": "prod", "service": "cart", "state": "healthy", "since_ns": NOW, "why": "", "delay_s": 0.0}
    told = list(lines(Overview("k", NOW, (), (row,), (strictness(),)), local=False))
    assert told[2] == (
        "  false incidents accepted per week: 1; incidents of the last week: 3 (1 said to be false, 1 repaired, 1 unknown); "
        "strictness +0.48 decades (said in four weeks: false alarms 1, missed 0: +0.40)"
    )
    plain = strictness(
        accepted=None, opened=0, said_false=0, repaired=0, unknown=0, strictness=0.0, text="as detection is tuned"
    )
    assert line(plain).startswith(
        "false incidents accepted per week: as tuned (about 1.2); incidents of the last week: 0; strictness"
    )


def test_metrics_are_of_the_environments_that_are_acted_for() -> None:
    told = StrictnessTold()
    for word in (strictness(), strictness("staging", accepted=None, strictness=-0.5)):
        told.note(word)
    told.forget(lambda environment: environment == "prod")
    assert set(told.samples()) == {
        ("strictness_decades", ("staging",), -0.5),
        ("false_incidents_accepted", ("staging",), 1.2),
        ("incidents_last_week", ("staging", "said_false"), 1),
        ("incidents_last_week", ("staging", "said_right"), 0),
        ("incidents_last_week", ("staging", "repaired"), 1),
        ("incidents_last_week", ("staging", "unknown"), 1),
    }
