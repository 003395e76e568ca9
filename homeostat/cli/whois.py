"""`homeostat telemetry whois`: who a name, a pod or an address is, and how it came to be called so."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import click
import numpy as np

from connectors.encodings.sources import decode_record, reading_of
from connectors.otlp.conventions import conventions_of
from connectors.otlp.identity import IdentityRules, by_rule, service_by
from connectors.otlp.peers import host_of
from connectors.otlp.recording import read
from contracts.errors import BrokerUnavailable, HomeostatError, UndecodableTelemetry, UnreadableEvent
from contracts.external import EXTERNAL
from contracts.frames import AddressFrame, Resource, unpack
from contracts.frames.decoded import KIND_CLIENT, Decoded
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import ADDRESSES, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS
from graph.known_names import known_as
from homeostat.cli.app import settings_of
from homeostat.cli.common import broker_option, connected, document, json_option, run
from homeostat.cli.graph import reader
from homeostat.terminal import echo
from homeostat.times import utc
from streams.windows.addresses import Addresses, Lease
from streams.windows.tenures import OPEN, Tenures, is_numeric

_PORT: Final = re.compile(r":\d+$")
_INSTANCES: Final = ("k8s.pod.name", "k8s.pod.uid", "service.instance.id", "host.name", "container.id")


@dataclass(slots=True)
class Seen:
    """What some messages tell of names: who sent them, whom spans call, and whose spans have which parents."""

    rules: IdentityRules
    resources: dict[Resource, None] = field(default_factory=dict)
    peers: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    """Calls by caller, peer, and whether it is known by its address alone."""
    addresses: dict[str, Addresses] = field(default_factory=dict)
    """What the cluster watch tells, by environment."""
    _calls: dict[tuple[int, int], tuple[str, int]] = field(default_factory=dict)
    """By trace and span: whom it calls, and when it began."""
    _spans: list[tuple[tuple[int, int], Resource]] = field(default_factory=list)

    def take(self, decoded: Decoded) -> None:
        """Look at a message."""
        self.resources.update(dict.fromkeys(decoded.resources))
        spans = decoded.spans
        if spans is None:
            return
        columns = (spans.resource, spans.trace, spans.span, spans.parent, spans.kind, spans.peer, spans.start_ns)
        addresses = spans.by_address.tolist() if len(spans.by_address) else [False] * len(spans)
        for row, by_address in zip(zip(*(c.tolist() for c in columns), strict=True), addresses, strict=True):
            resource, trace, span, parent, kind, peer, start_ns = row
            service, named = decoded.resources[resource].service, decoded.strings[peer]
            if named:
                self.peers[service, named, by_address] += 1
                if kind == KIND_CLIENT:
                    self._calls[trace, span] = named, start_ns
            if parent:
                self._spans.append(((trace, parent), decoded.resources[resource]))

    def answered(self, peer: str) -> dict[str, list[tuple[int, str]]]:
        """By environment when calls to a peer began, and the service whose spans are their children, in order of time."""
        found: dict[str, list[tuple[int, str]]] = {}
        for call, resource in self._spans:
            named, start_ns = self._calls.get(call, ("", 0))
            if named == peer:
                found.setdefault(resource.environment, []).append((start_ns, resource.service))
        return {environment: sorted(calls) for environment, calls in sorted(found.items())}


@click.command()
@click.argument("name")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--last", type=click.IntRange(min=1), default=1000, show_default=True, help="Messages per partition.")
@json_option
@broker_option
@click.pass_context
def whois(ctx: click.Context, name: str, files: tuple[Path, ...], last: int, as_json: bool, broker: str | None) -> None:
    """Who NAME (a service, a pod, an address) is, by recorded FILES, or by the log and what a running Homeostat knows, and why it is
    called so."""
    settings = settings_of(ctx)
    seen = Seen(IdentityRules(settings.ingest.environment_from, settings.ingest.namespace_from))
    if files:
        for message in read(files):
            _take(Record(message.topic, 0, 0, None, message.payload), settings, seen)
    known, failed = ([], None) if files else _of_running(name, settings)
    try:
        if not files:
            run(_of_log(ctx, broker, last, seen))
    except BrokerUnavailable:
        if failed is not None:
            raise
    found = [*explained(name, seen), *known]
    if as_json:
        echo(document(found))
    elif not found:
        echo(f"nothing in this telemetry is called {name}")
    for line in [] if as_json else found:
        echo(line)


def _of_running(name: str, settings: Settings) -> tuple[list[str], HomeostatError | None]:
    """What the knowledge graph of a running Homeostat (or of one that has run) says of a name, or why nothing."""
    try:
        with reader(settings) as store:
            return list(known_as(store, name)), None
    except HomeostatError as e:
        return [], e


def explained(name: str, seen: Seen) -> Iterator[str]:
    """Sentences on each thing that a name may mean."""
    wanted = name.lower().removeprefix(EXTERNAL)
    wanted = host_of({"server.address": wanted}) if is_numeric(wanted) or _PORT.search(wanted) else wanted
    mine = [r for r in seen.resources if _is_called(r, wanted)]
    for service in dict.fromkeys((r.environment, r.service) for r in mine):
        yield from _of_service([r for r in mine if (r.environment, r.service) == service], seen.rules)
    for peer in sorted({p for _, p, _ in seen.peers if wanted in (p.lower(), p.lower().partition(":")[2])}):
        yield from _of_peer(peer, seen)
    for environment, addresses in sorted(seen.addresses.items()):
        for home, lease in addresses.leases(wanted):
            yield _of_lease(wanted, environment, home, lease)


def _of_lease(name: str, environment: str, home: str, lease: Lease) -> str:
    where = f", called in the namespace {home}," if home else ""
    how_long = f"since {utc(lease.from_ns)}" + (f" until {utc(lease.to_ns)}" if lease.to_ns else "")
    return f"{name}{where} is {lease.object} of environment {environment}'s cluster, {how_long}: calls to it are calls to {lease.stands_for}"


def _is_called(resource: Resource, wanted: str) -> bool:
    own = dict(resource.attributes)
    service = resource.service.lower()
    return wanted in (service, service.rpartition("/")[2], *(own.get(k, "").lower() for k in _INSTANCES))


def _of_service(resources: list[Resource], rules: IdentityRules) -> Iterator[str]:
    first = resources[0]
    told = dict(first.attributes)
    named, (environment_from, _) = service_by(told, rules), by_rule(told, rules.environment)
    parts = [f"its name is from {named.name_from}" if named.name_from else "nothing names it"]
    if named.namespace_from:
        parts.append(f"its namespace from {named.namespace_from}")
    parts.append(f"its environment from {environment_from or 'the settings'}")
    yield f"{first.service} in environment {first.environment} is a service that sends telemetry: {', '.join(parts)}"
    instances = sorted({r.instance for r in resources if r.instance})
    if instances:
        more = f" and {len(instances) - 8} more" if len(instances) > 8 else ""
        yield f"  instances: {', '.join(instances[:8])}{more}"
    yield f"  it says of itself: {', '.join(f'{k}={v}' for k, v in first.attributes)}"


def _of_peer(peer: str, seen: Seen) -> Iterator[str]:
    calls = Counter[str]()
    by_address = False
    for (caller, named, address), count in seen.peers.items():
        if named == peer:
            calls[caller] += count
            by_address |= address
    how = "its address alone" if by_address else "attributes of their spans"
    yield f"{peer} is whom {_listed(calls)} call, by {how}"
    answered = seen.answered(peer)
    for environment, told in answered.items():
        where = f" in environment {environment}" if len(answered) > 1 else ""
        yield from _of_owners(told, where, in_turns=is_numeric(peer))
    if by_address and not answered:
        yield "  nobody who sends telemetry answered there: it is taken to be outside"


def _of_owners(told: list[tuple[int, str]], where: str, *, in_turns: bool) -> Iterator[str]:
    """Whose an address is, and since when, where it has changed hands."""
    names = sorted({service for _, service in told})
    owners = np.array([names.index(service) for _, service in told], np.int64)
    begun = np.array([start_ns for start_ns, _ in told], np.int64)
    site, known = np.zeros(len(told), np.uint64), Tenures()
    known.hear([0] if in_turns else [])
    known.joined(site, owners, begun, int(begun.max()))
    if not known.hands(site).any():
        yield f"  {_listed(Counter(service for _, service in told))} answered there{where}: calls to it are calls to that service"
        return
    for tenure in known.of(0):
        calls = np.count_nonzero((owners == tenure.owner) & (begun >= tenure.from_ns) & (begun < tenure.to_ns))
        since = f"since {utc(tenure.from_ns or tenure.first_ns)}"
        until = f" until {utc(tenure.to_ns)}" if tenure.to_ns < OPEN else ""
        yield f"  {names[tenure.owner]} ({calls}) answered there{where} {since}{until}: calls to it of that time are calls to that service"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items(), key=lambda c: (-c[1], c[0]))[:8])


async def _of_log(ctx: click.Context, broker: str | None, last: int, seen: Seen) -> None:
    async with connected(ctx, broker) as (client, settings):
        for topic in (OTLP_SPANS, OTLP_METRICS, OTLP_LOGS, *settings.ingest.topics):
            async for record in client.read([topic], last=last):
                _take(record, settings, seen)
        async for record in client.read([ADDRESSES]):
            with contextlib.suppress(UnreadableEvent):  # of another release
                frame = unpack(AddressFrame, record.value)
                seen.addresses.setdefault(frame.environment, Addresses()).take(frame)


def _take(record: Record, settings: Settings, seen: Seen) -> None:
    reading = replace(reading_of(settings, conventions_of(settings.conventions)), rules=seen.rules)
    try:
        seen.take(decode_record(record, settings.ingest.topics, reading))
    except UndecodableTelemetry:  # it is among the dead letters, with its reason
        return
