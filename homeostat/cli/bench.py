"""`homeostat bench`: figures of this machine, each beside a named alternative measured in the same run."""

from __future__ import annotations

import click

PARTS = ("ingest", "detect", "quality")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--seed", default=1, show_default=True, help="Seed of the simulated faults (quality).")
def bench(parts: tuple[str, ...], seed: int) -> None:
    """Measure PARTS (default: ingest and detect).

    \b
    ingest   spans per CPU second from bytes to feature frames, and of decoding against protobuf's bare parser
    detect   milliseconds per tick for 1,000 services x 8 features, bank alone against all detectors
    quality  precision, recall and delay of detection on simulated faults, against river and pyod alone (minutes)
    """
    chosen = parts or ("ingest", "detect")
    if "ingest" in chosen:
        _ingest()
    if "detect" in chosen:
        _detect()
    if "quality" in chosen:
        _quality(seed)


def _ingest() -> None:
    from connectors.otlp import bench as decoding
    from streams.windows import bench as windows

    for line in windows.run().lines():
        click.echo(f"ingest   {line}")
    payload = decoding.protobuf_payload()
    ours, bare = decoding.spans_per_cpu_second(payload), decoding.parsed_per_cpu_second(payload)
    click.echo(
        f"ingest   decoding to columns: {ours / bare:.2f} x the speed of protobuf's bare parser, which extracts nothing"
    )


def _detect() -> None:
    from models.bench import tick_milliseconds

    bank, fused = tick_milliseconds(), tick_milliseconds(detectors=("bank", "river", "pyod"))
    click.echo(
        f"detect   1,000 services x 8 features: {bank:.2f} ms per tick (bank); all detectors {fused / bank:.1f} x that"
    )


def _quality(seed: int) -> None:
    from contracts.settings import DetectSettings
    from models.bench import Plan, engine_runs, score, simulate

    plan = Plan(seed=seed)
    series = simulate(plan)
    for names in (("bank", "river", "pyod"), ("bank",), ("river",), ("pyod",)):
        result = score("+".join(names), engine_runs(DetectSettings(detectors=names)), series, plan)
        click.echo(f"quality  {result.line()}")
