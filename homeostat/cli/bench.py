"""`homeostat bench`: figures of this machine, each beside a named alternative measured in the same run."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from contracts.settings import Settings
from homeostat.cli.app import settings_of
from homeostat.terminal import echo

if TYPE_CHECKING:
    from homeostat.bench import stores

PARTS = ("ingest", "detect", "receive", "quality", "graph", "mapping")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option(
    "--seed", default=1, show_default=True, help="Seed of the simulated faults (quality), of the day (mapping)."
)
@click.option(
    "--graph",
    "graph_url",
    metavar="BOLT_URL",
    help="Measure this Neo4j, too (graph): bolt://[user:password@]host:port.",
)
@click.pass_context
def bench(ctx: click.Context, parts: tuple[str, ...], seed: int, graph_url: str | None) -> None:
    """Measure PARTS (default: ingest and detect).

    \b
    ingest   spans per CPU second from bytes to feature frames, and of decoding against protobuf's bare parser
    detect   milliseconds per tick for 1,000 services x 8 features, bank alone against all detectors
    receive  CPU time per small message of 23 SDKs, put together against each by itself (two minutes)
    quality  precision, recall and delay of detection on simulated faults, against river and pyod alone (minutes)
    graph    refreshing a topology of 500 services and 3,000 calls, against row by row; a path through it
    mapping  shares of points and of callees that are understood in a day of the OpenTelemetry demo's kind of telemetry, and the rest
    """
    chosen = parts or ("ingest", "detect")
    if "ingest" in chosen:
        _ingest()
    if "detect" in chosen:
        _detect()
    if "receive" in chosen:
        _receive()
    if "quality" in chosen:
        _quality(seed)
    if "graph" in chosen:
        _graph(settings_of(ctx), graph_url)
    if "mapping" in chosen:
        _mapping(settings_of(ctx), seed)


def _ingest() -> None:
    from homeostat.bench import ingest
    from homeostat.bench import reading as decoding

    for line in ingest.run().lines():
        echo(f"ingest   {line}")
    payload = decoding.protobuf_payload()
    ours, bare = decoding.spans_per_cpu_second(payload), decoding.parsed_per_cpu_second(payload)
    echo(
        f"ingest   decoding to columns: {ours / bare:.2f} x the speed of protobuf's bare parser, which extracts nothing"
    )


def _detect() -> None:
    from homeostat.bench.detection import tick_milliseconds

    bank, fused = tick_milliseconds(), tick_milliseconds(detectors=("bank", "river", "pyod"))
    echo(
        f"detect   1,000 services x 8 features: {bank:.2f} ms per tick (bank); all detectors {fused / bank:.1f} x that"
    )


def _receive() -> None:
    from homeostat.senders import EVERY_S, SENDERS, SPANS, cost

    alone, together = cost(0), cost(100)
    echo(
        f"receive  {SENDERS} SDKs, {SPANS} spans every {EVERY_S:g} s each: {together.per_message_ms:.2f} ms of CPU per message "
        f"together, {alone.per_message_ms:.2f} ms each by itself: {together.per_message_ms / alone.per_message_ms:.2f} x"
    )


def _quality(seed: int) -> None:
    from contracts.settings import DetectSettings
    from homeostat.bench.detection import Plan, engine_runs, score, simulate

    plan = Plan(seed=seed)
    series = simulate(plan)
    for names in (("bank", "river", "pyod"), ("bank",), ("river",), ("pyod",)):
        result = score("+".join(names), engine_runs(DetectSettings(detectors=names)), series, plan)
        echo(f"quality  {result.line()}")


def _mapping(settings: Settings, seed: int) -> None:
    from connectors.otlp.conventions import conventions_of
    from homeostat.bench.astronomy.shop_day import ShopDay
    from homeostat.bench.mapping import understood

    for line in understood(ShopDay(seed), conventions_of(settings.conventions)).lines():
        echo(f"mapping  {line}")


def _graph(settings: Settings, url: str | None) -> None:
    from graph.stores.ladybug import LadybugStore
    from homeostat.bench import stores

    embedded = LadybugStore()
    try:
        embedded.migrate()
        figures = stores.run(embedded)
    finally:
        embedded.close()
    for line in figures.lines():
        echo(f"graph    Ladybug: {line}")
    if url:
        for line in _neo4j(settings, url).lines():
            echo(f"graph    Neo4j: {line}")


def _neo4j(settings: Settings, url: str) -> stores.Figures:
    from graph.stores.neo4j import Neo4jStore
    from homeostat.bench import stores

    at = urlsplit(url)
    if at.scheme != "bolt" or not at.hostname:
        raise click.UsageError(
            f"--graph {url}: give bolt://[user:password@]host:port (a relay counts what is sent, so not bolt+s)"
        )
    trips = stores.RoundTrips(at.hostname, at.port or 7687)
    user, password = at.username or settings.graph.user, at.password or settings.graph.password.get_secret_value()
    try:
        store = Neo4jStore(f"bolt://{trips.address}", user, password, settings.graph.database)
        try:
            store.migrate()
            return stores.run(store, trips)
        finally:
            store.close()
    finally:
        trips.close()
