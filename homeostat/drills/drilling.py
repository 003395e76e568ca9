"""Run a system and Homeostat beside it, let one fault after another happen, and judge each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from contracts.errors import UnknownName
from contracts.supervision import end, once
from homeostat.demo.clients import Normal, learn
from homeostat.demo.load import Second
from homeostat.demo.play import SceneWatch, free_port, homeostat_up, listening, until
from homeostat.drills.faults import FAULTS, DrillFault
from homeostat.drills.running_system import RunningSystem
from homeostat.drills.scorecard import GOOD_SECONDS, DrillRow, row_of

LEARN_S: Final = 95.0
"""Of healthy business before the first fault: more than the product takes to know what is usual."""
FAULT_S: Final = 55.0
"""So long a fault may take to be mended."""
_LEAST_S: Final = 18.0
"""So long it is watched at least."""
_CALM_S: Final = 60.0
"""So long at most the next fault waits for the last one to be over: for guests, and for Homeostat."""
SETTINGS: Final = {
    "act.actuators": "[process]",
    "act.environments": "{default: {}}",
    "act.process_manager": "",
    "broker.partitions": 1,
}
"""One process is one partition's worth: more would only cut the same seconds into more messages."""


def faults_named(system: str, names: Sequence[str]) -> list[DrillFault]:
    """The faults of these names, in this order; all of them for none. Raises UnknownName, with those there are."""
    known = {f.name: f for f in FAULTS[system.partition("/")[0]]}
    unknown = [n for n in names if n not in known]
    if unknown:
        raise UnknownName("fault", unknown[0], known)
    return [known[n] for n in names] if names else list(known.values())


async def drill_system(
    system: str, names: Sequence[str], folder: Path, console: Console, results: Path | None = None
) -> list[DrillRow]:
    """Run a system, have these faults befall it one after another, and judge. `results`: a file for a JSON line a fault.

    Raises:
        UnknownName: a system or a fault that there isn't.
    """
    faults = faults_named(system, names)
    manager_port, otlp_port = free_port(), free_port()
    settings = {**SETTINGS, "act.process_manager": f"http://127.0.0.1:{manager_port}"}
    rows = []
    async with homeostat_up(folder, settings, otlp_port) as ready:
        endpoints = await ready
        async with RunningSystem(system, f"http://127.0.0.1:{otlp_port}", folder, manager_port) as running:
            console.print(
                f"{running.plan.processes()} processes; getting to know normal business for {LEARN_S:.0f} s …"
            )
            await asyncio.sleep(LEARN_S)
            normal = learn(running.guests.seconds[30:])
            async with listening(endpoints, console) as watch:
                for fault in faults:
                    rows.append(await _befall(fault, running, watch, normal, console))
                    if results is not None:
                        with results.open("ab") as out:
                            out.write(msgspec.json.encode(rows[-1]) + b"\n")
    return rows


async def _befall(
    fault: DrillFault, running: RunningSystem, watch: SceneWatch, normal: Normal, console: Console
) -> DrillRow:
    seconds = running.guests.seconds
    await until(lambda: _well(seconds, normal) and not watch.heard.still_open(), _CALM_S)
    console.rule(f"[bold]{fault.name}[/]: {fault.title}")
    before = watch.heard.still_open()
    heard = watch.begin()
    striking = once("strike", fault.strike(running), awaited=True)
    await asyncio.sleep(_LEAST_S)
    await until(lambda: striking.done() and _well(seconds, normal) and not heard.still_open(), FAULT_S - _LEAST_S)
    row = row_of(fault, running.plan, heard, seconds, normal, before)
    console.print(row.line(), markup=False)
    await end(striking)
    await running.relieve()
    return row


def _well(seconds: Sequence[Second], normal: Normal) -> bool:
    return not any(normal.hurts(s) for s in seconds[-GOOD_SECONDS:])
