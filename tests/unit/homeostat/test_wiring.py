"""The wiring and the table of topics tell the same: who writes what, and who reads it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from connectors.journal.sqlite import SqliteJournal
from connectors.kafka.embedded import open_broker
from connectors.state.sqlite import SqliteStateStore
from contracts.ports import SystemClock
from contracts.settings import Settings
from contracts.topics import INGRESS, TARGETS, TOPICS
from homeostat.acting import Acting
from homeostat.cluster import ClusterWatch
from homeostat.wiring import act_specs, stage_specs
from streams.worker import HandlerSpec, handlers_of
from tests.unit.playbooks.runs.support import RESTART, World
from tests.unit.playbooks.runs.test_transitions import STORIES

OUTSIDE = {
    "collectors",
    "anyone",
    "people",
    "the world",
    "every process",
    "every stage",
    "recorded stages",
    "homeostat replay",
}


@pytest.fixture
def wired(tmp_path: Path) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Writers and readers by topic, by the wiring."""
    settings = Settings(data_dir=tmp_path)
    partitions = dict.fromkeys(TOPICS, 4)
    broker, clock = open_broker(settings.broker), SystemClock()
    journal, state = SqliteJournal(tmp_path / "journal.sqlite"), SqliteStateStore(tmp_path / "state.sqlite")
    acting = Acting(settings, broker, partitions, journal, lambda write: None, clock, "log")
    cluster = ClusterWatch(settings, broker, partitions, state, lambda write: None, clock)
    writers, readers = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for stage in stage_specs(settings, partitions, acting.playbooks):
        for topic in stage.produces:
            writers[topic].add(stage.name)
        for topic in (*stage.consumes, *stage.overhears):
            readers[topic].add(stage.name)
    for part in act_specs(acting, cluster):
        for topic in part.produces:
            writers[topic].add(part.name)
        for topic in part.handlers:
            readers[topic].add(part.name)
    journal.close()
    return writers, readers


def test_the_pipeline_is_as_the_table_of_topics_says(wired: tuple[dict[str, set[str]], dict[str, set[str]]]) -> None:
    writers, readers = wired
    touched = writers.keys() | readers.keys()
    for name in touched:
        topic = TOPICS[name]
        assert writers.get(name, set()) == set(topic.writers.split(", ")) - OUTSIDE, f"who writes {name}"
        assert readers.get(name, set()) == set(topic.readers.split(", ")) - OUTSIDE, f"who reads {name}"
    assert touched >= {*INGRESS, "autonomous.actions"}, "from bytes to audit"


def test_every_topic_that_is_read_is_written_by_somebody(
    wired: tuple[dict[str, set[str]], dict[str, set[str]]],
) -> None:
    writers, readers = wired
    for name in readers:
        assert writers.get(name) or set(TOPICS[name].writers.split(", ")) & OUTSIDE, f"nobody writes {name}"


async def test_runs_write_to_no_other_topics_than_their_wiring_says(
    wired: tuple[dict[str, set[str]], dict[str, set[str]]],
) -> None:
    writers, _ = wired
    written: set[str] = set()
    for playbook, tell in STORIES:
        world = World(playbook, RESTART)
        await tell(world)
        await world.done()
        written |= {topic for topic, *_ in world.topic}
    assert written | {TARGETS} == {topic for topic, parts in writers.items() if "act" in parts}, (
        "reports are the reporter's"
    )


def test_parts_take_a_message_in_the_order_in_which_they_are_wired() -> None:
    async def one(_: object) -> None: ...

    async def two(_: object) -> None: ...

    specs = (HandlerSpec("a", {"x": one}), HandlerSpec("b", {"x": two, "y": two}))
    assert handlers_of(specs) == {"x": (one, two), "y": (two,)}
