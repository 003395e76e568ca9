"""How an installation is, from outside of it: its processes with what they lack, and its services with their state.

A process on this machine is asked directly, so that it can say that its log is away. Where Kafka is named, all processes of the
installation are known by what they tell of themselves on autonomous.nodes, and services by the newest evidence.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import msgspec

from connectors.kafka.client import KafkaBroker
from contracts.errors import HomeostatError, UnreadableEvent
from contracts.events import Anomaly, NodeStatus, Strictness, decode
from contracts.frames import EvidenceFrame, unpack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import ANOMALIES, EVIDENCE, NODES, STRICTNESS
from contracts.units import HOUR, MILLISECOND, SECOND
from homeostat.endpoints import Endpoints
from homeostat.service_states import Services
from homeostat.strictness_told import StrictnessTold

PATIENCE_S: Final = 5.0
SILENT_NS: Final = 35 * SECOND
"""A process tells of itself every ten seconds; one that was not heard of for this long is no longer there, or can't reach the log."""
GONE_NS: Final = HOUR
_FRAMES, _EVENTS = 300, 300
"""How much of the end of each partition is read."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of Homeostat. `lacks`: what it lacks, in words; `lag`: messages that wait, by topic."""

    node: str
    condition: str
    healthy: bool
    lacks: tuple[str, ...]
    reason: str = ""
    behind_s: float = 0.0
    lag: Mapping[str, int] = field(default_factory=dict)
    uptime_s: float = 0.0
    stopped: tuple[str, ...] = ()
    """Scopes in which acting is stopped."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Processes and services, as known at `time_ns`. `source` is whom was asked."""

    source: str
    time_ns: int
    processes: tuple[Process, ...]
    services: tuple[dict[str, Any], ...]
    strictness: tuple[Strictness, ...] = ()
    """By environment, as far as it was told."""

    @property
    def healthy(self) -> bool:
        """Whether there is a process, and all are well."""
        return bool(self.processes) and all(p.healthy for p in self.processes)

    @property
    def nothing_wrong(self) -> bool:
        """Whether Homeostat is well, and every service known to be healthy: not knowing is not that."""
        return self.healthy and bool(self.services) and all(row["state"] == "healthy" for row in self.services)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """By environment, how many services are in which state."""
        found: dict[str, dict[str, int]] = {}
        for row in self.services:
            states = found.setdefault(row["environment"], {})
            states[row["state"]] = states.get(row["state"], 0) + 1
        return found


async def of_process(endpoints: Endpoints, now_ns: int) -> Overview:
    """As one process says; if it doesn't answer, that is what is told."""
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
            status = await _json(session, f"{endpoints.api}/status")
            services = await _json(session, f"{endpoints.api}/services")
            strictness = msgspec.convert(status.get("strictness", []), tuple[Strictness, ...])
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as e:
        text = f"process: {endpoints.pid} does not answer at {endpoints.api}: {str(e) or type(e).__name__}"
        return Overview(endpoints.api, now_ns, (Process(f"pid {endpoints.pid}", "unreachable", False, (text,)),), ())
    process = Process(
        node=status["node"],
        condition=status["condition"],
        healthy=status["healthy"],
        reason=status["reason"],
        lacks=tuple(f"{x['what']}: {x['text']} (since {x['since']})" for x in status["lacks"]),
        behind_s=status.get("behind_s", 0.0),
        lag={topic: n for topic, n in status.get("lag", {}).items() if n},
        uptime_s=status["uptime_s"],
        stopped=tuple(status.get("acting", {}).get("stopped", ())),
    )
    return Overview(endpoints.api, now_ns, (process,), tuple(services), strictness)


async def _json(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url) as reply:
        return msgspec.json.decode(await reply.read())


async def of_log(client: KafkaBroker, settings: Settings, now_ns: int) -> Overview:
    """As the newest messages say, of all processes that share the log."""
    nodes = [r async for r in client.read([NODES])]
    seen = [r async for r in client.read([EVIDENCE], from_beginning=False, last=_FRAMES)]
    seen += [r async for r in client.read([ANOMALIES], from_beginning=False, last=_EVENTS)]
    words = [r async for r in client.read([STRICTNESS])]
    services, source = _services(seen, settings, now_ns), f"kafka://{client.bootstrap}"
    return Overview(source, now_ns, _processes(nodes, now_ns), services, _strictness(words))


def _strictness(records: Sequence[Record]) -> tuple[Strictness, ...]:
    told = StrictnessTold()
    for record in records:
        with contextlib.suppress(UnreadableEvent):  # of another release
            told.note(decode(Strictness, record.value))
    return told.words()


def _processes(records: Sequence[Record], now_ns: int) -> tuple[Process, ...]:
    newest: dict[str, NodeStatus] = {}
    for record in records:
        try:
            status = decode(NodeStatus, record.value)
        except UnreadableEvent:
            continue
        if status.time_ns >= newest.get(status.node, status).time_ns:
            newest[status.node] = status
    there = [s for s in newest.values() if s.lifecycle != "stopping" and now_ns - s.time_ns < GONE_NS]
    return tuple(_process(s, now_ns) for s in sorted(there, key=lambda s: s.node))


def _process(status: NodeStatus, now_ns: int) -> Process:
    silent_ns = now_ns - status.time_ns
    silent = (f"process: not heard of for {silent_ns / SECOND:.0f} s",) if silent_ns > SILENT_NS else ()
    return Process(
        node=status.node,
        condition="silent" if silent else status.condition or status.lifecycle,
        healthy=status.healthy and not silent,
        lacks=(*silent, *status.lacks),
        behind_s=status.behind_s,
        lag=status.lag,
    )


def _services(records: Sequence[Record], settings: Settings, now_ns: int) -> tuple[dict[str, Any], ...]:
    """Records are taken as if each had come when it was written: how old the newest is, is how long nothing was seen."""
    found = Services(settings.detect.warmup_windows, settings.detect.stale_s)
    for record in sorted(records, key=lambda r: r.timestamp_ms):
        try:
            if record.topic == EVIDENCE:
                found.observe(unpack(EvidenceFrame, record.value), record.timestamp_ms * MILLISECOND)
            else:
                found.note(decode(Anomaly, record.value))
        except HomeostatError:  # of another release: whoever reads it for good keeps it
            continue
    return tuple(found.rows(now_ns))
