"""An installation from outside: who is silent, behind or gone is never told as well, by `status`, `doctor` and `why` alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from contracts.events import NodeStatus, encode
from contracts.frames import EvidenceFrame, pack
from contracts.ports import Record
from contracts.settings import load
from contracts.topics import EVIDENCE, FEATURES, INGRESS, NODES
from contracts.units import SECOND
from homeostat.checkup import BEHIND_S
from homeostat.cli import doctor
from homeostat.cli.status import line
from homeostat.endpoints import Endpoints
from homeostat.status import GONE_NS, SILENT_NS, Overview, Process, of_log, of_process
from tests.unit.homeostat.test_service_states import frame

NOW = 1_700_000_100 * SECOND


@dataclass
class Log:
    """A log of messages, as (topic, value, written at)."""

    messages: list[tuple[str, bytes, int]] = field(default_factory=list)
    bootstrap: str = "k:1"

    async def read(self, topics: Sequence[str], **_: object) -> AsyncIterator[Record]:
        for offset, (topic, value, at_ns) in enumerate(self.messages):
            if topic in topics:
                yield Record(topic, 0, offset, None, value, (), at_ns // 1_000_000)


def node(name: str = "n1", ago_ns: int = SECOND, **more: object) -> tuple[str, bytes, int]:
    said: Mapping[str, object] = {"lifecycle": "running", "healthy": True, "condition": "working", **more}
    status = NodeStatus(node=name, stage="detect", time_ns=NOW - ago_ns, **said)  # type: ignore[arg-type]
    return NODES, encode(status), NOW - ago_ns


async def seen(*messages: tuple[str, bytes, int]) -> Overview:
    return await of_log(Log([*messages, (NODES, b"?", NOW), (EVIDENCE, b"?", NOW)]), load(environ={}), NOW)  # type: ignore[arg-type]


async def test_the_newest_word_of_each_process_counts() -> None:
    found = await seen(
        node(healthy=False, lacks=("graph: away",), ago_ns=20 * SECOND), node(), node("n2", behind_s=3.0)
    )
    assert [(p.node, p.healthy, p.lacks, p.behind_s) for p in found.processes] == [
        ("n1", True, (), 0),
        ("n2", True, (), 3),
    ]
    assert found.healthy


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (node(ago_ns=SILENT_NS + SECOND), "process: not heard of for 36 s"),
        (node(healthy=False, lacks=("pace: 240 s behind",), behind_s=240.0), "pace: 240 s behind"),
        (node(healthy=False, condition="stuck"), ""),
    ],
)
async def test_who_is_silent_behind_or_stuck_is_not_well(message: tuple[str, bytes, int], text: str) -> None:
    found = await seen(node("n2"), message)
    assert not found.healthy
    assert not found.nothing_wrong
    assert text in line(found)
    findings = [doctor._process(p) for p in found.processes]
    assert [f.ok for f in findings] == [False, True]
    assert text in findings[0].text


@pytest.mark.parametrize("message", [node(lifecycle="stopping"), node(ago_ns=GONE_NS + 1)])
async def test_who_left_is_not_listed_and_nobody_is_not_well(message: tuple[str, bytes, int]) -> None:
    found = await seen(message)
    assert found.processes == ()
    assert not found.healthy
    assert "no process of Homeostat is heard of" in line(found)


async def test_services_are_as_old_as_their_newest_evidence() -> None:
    def evidence(looks: EvidenceFrame, ago_s: float) -> tuple[str, bytes, int]:
        return EVIDENCE, pack(looks), NOW - int(ago_s * SECOND)

    fresh = await seen(node(), evidence(frame({"cart": "healthy"}, 95), 3))
    assert [r["state"] for r in fresh.services] == ["healthy"]
    assert fresh.nothing_wrong
    old = await seen(node(), evidence(frame({"cart": "healthy"}, 0), 90), evidence(frame({"stock": "healthy"}, 95), 3))
    assert {r["service"]: r["state"] for r in old.services} == {"cart": "stale", "stock": "healthy"}
    assert not old.nothing_wrong


async def test_a_process_that_does_not_answer_is_not_well() -> None:
    found = await of_process(Endpoints(pid=7, broker="b", api="http://127.0.0.1:1"), NOW)
    assert not found.healthy
    assert found.processes[0].condition == "unreachable"
    assert "7 does not answer" in line(found)


def test_without_services_nothing_is_known_to_be_right() -> None:
    assert not Overview("k", NOW, (Process("n", "working", True, ()),), ()).nothing_wrong


@pytest.mark.parametrize(
    ("came_ago_s", "made_ago_s", "ok"),
    [
        (None, None, True),
        (1.0, 1.5, True),
        (1.0, BEHIND_S + 2, False),
        (1.0, 300.0, False),
        (3600.0, 3600.5, True),
        (300.0, None, False),
    ],
)
async def test_doctor_sees_that_nothing_is_made_of_what_comes(
    came_ago_s: float | None, made_ago_s: float | None, ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.time, "time", lambda: NOW / 1e9)
    came = [] if came_ago_s is None else [(INGRESS[0], b"", NOW - int(came_ago_s * 1e9))]
    made = [] if made_ago_s is None else [(FEATURES, b"", NOW - int(made_ago_s * 1e9))]
    found = await doctor._pace(Log([*came, *made]))  # type: ignore[arg-type]
    assert found.ok is ok
    assert bool(found.fix) is not ok
