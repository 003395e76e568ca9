"""What became of everything: windows against the book of traffic, effects against runs, the chain of every environment."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from connectors.kafka.client import KafkaBroker
from contracts.events import ActionRecord, DeadLetter, decode
from contracts.frames import FeatureFrame, unpack
from contracts.topics import ACTIONS, DEADLETTER, FEATURES
from contracts.verdicts import TERMINAL_RUN_STATES
from playbooks.audit import verify_chain
from playbooks.runs import run_of
from tests.services.chaos.traffic import Book

_TERMINAL = {f"io.homeostat.run.{state}" for state in TERMINAL_RUN_STATES}


@dataclass(frozen=True)
class Difference:
    """Requests of a row that were sent and not counted, or counted and not sent."""

    row: tuple[str, int, str, str]
    sent: int
    counted: int


async def counted(broker: KafkaBroker) -> Book:
    """The last word on every row of `telemetry.features` that had requests."""
    found: Book = Counter()
    async for record in broker.read([FEATURES]):
        frame = unpack(FeatureFrame, record.value)
        if frame.environment != "prod" or frame.signal not in {"spans", "edges"}:
            continue
        for i, service in enumerate(frame.services):
            found[frame.signal, frame.window_ns, service, frame.peers[i] if frame.peers else ""] = int(frame.counts[i])
    return Counter({row: n for row, n in found.items() if n})


def differences(sent: Book, found: Book) -> list[Difference]:
    """Rows that differ, in order of their window."""
    rows = sorted(sent.keys() | found.keys(), key=lambda row: (row[1], row))
    return [Difference(row, sent[row], found[row]) for row in rows if sent[row] != found[row]]


async def dead_letters(broker: KafkaBroker) -> list[DeadLetter]:
    """All of them."""
    return [decode(DeadLetter, r.value) async for r in broker.read([DEADLETTER])]


@dataclass(frozen=True)
class Deeds:
    """What `autonomous.actions` tells. `ended` and `applied` by run."""

    ended: Mapping[str, str]
    applied: Collection[str]
    intended: Collection[str]
    broken: Mapping[str, tuple[str, ...]]
    records: int


async def deeds(broker: KafkaBroker) -> Deeds:
    """Read and verify the trail."""
    bodies: dict[str, list[bytes]] = defaultdict(list)
    ended: dict[str, str] = {}
    phases: dict[str, set[str]] = defaultdict(set)
    async for message in broker.read([ACTIONS]):
        record = decode(ActionRecord, message.value)
        bodies[record.environment].append(message.value)
        phases[record.type].add(record.run)
        if record.type in _TERMINAL:
            ended[record.run] = record.state.value
    reports = {e: verify_chain(some) for e, some in bodies.items()}
    return Deeds(
        ended=ended,
        applied=phases["io.homeostat.step.applied"],
        intended=phases["io.homeostat.step.intent"],
        broken={e: report.problems for e, report in reports.items() if not report.intact},
        records=sum(map(len, bodies.values())),
    )


def wrongs(made: Collection[str], effects: list[str], found: Deeds) -> list[str]:
    """Everything that must not be, in words."""
    happened = Counter(effects)
    known = {run_of(decision) for decision in made}
    wrong = [f"{run}: {n} effects" for run, n in happened.items() if n > 1]
    wrong += [f"{run}: an effect without an intent on the trail" for run in happened.keys() - set(found.intended)]
    wrong += [f"{run}: an effect nobody decided" for run in happened.keys() - known]
    wrong += [f"{run}: applied on the trail, no effect" for run in set(found.applied) - happened.keys()]
    wrong += [
        f"{run}: an effect, but it ended {state}"
        for run, state in found.ended.items()
        if run in happened and run not in found.applied and state != "unknown"
    ]
    wrong += [f"{run}: never ended" for run in known - found.ended.keys()]
    wrong += [f"chain of {e}: {problems[0]}" for e, problems in found.broken.items()]
    return wrong
