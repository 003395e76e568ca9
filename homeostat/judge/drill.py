"""A drill: one real fault in the demo shop, told as a trial of a simulated system is, so that both are read side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rich.console import Console

from contracts.events import ActionRecord
from contracts.units import SECOND
from homeostat.demo.load import Second
from homeostat.demo.play import ScenePlayed, play_one
from homeostat.demo.shop.blueprint import LOAD, NAMESPACE, SHOP
from homeostat.demo.watching import INTENT
from homeostat.judge.trial import ActSeen, FaultSeen, Trial
from homeostat.judge.witness import TrialWitness

LEVELS: Final = {"hang": "service", "surge": "load", "release": "release", "outage": "dependency"}
BEFORE_S: Final = 15
"""Seconds before the fault that are shown."""
SLOW: Final = 0.05
"""Harm of a second whose 95th percentile is beyond what is usual, and in which nobody was failed: one customer in twenty."""


async def drill(name: str, folder: Path, console: Console) -> Trial:
    """Play a scene of the demo with real processes. Raises UnknownName for a scene that there isn't."""
    return trial_of_scene(await play_one(name, folder, console))


def trial_of_scene(played: ScenePlayed) -> Trial:
    """What was heard and measured of a scene, with what was really wrong."""
    zero = played.heard.began - BEFORE_S
    seconds = [s for s in played.seconds if s.at >= zero]
    harm = tuple(_harm(s, played) for s in seconds)
    trial = Trial(
        case=f"drill/{played.scene.name}",
        style="demo shop",
        services=len(SHOP),
        calls=sum(len(r.calls) for s in SHOP.values() for r in s.routes.values()),
        users_per_s=sum(LOAD.values()),
        seconds=len(seconds),
        acting=True,
        fidelity="processes",
        harm=harm,
        own=tuple(f"{NAMESPACE}/{n}" for n, s in SHOP.items() if s.instrumented),
    )
    witness = TrialWitness(trial, int(zero * SECOND))
    for at, event in played.heard.events:
        witness.take(event, at - zero)
        if isinstance(event, ActionRecord) and event.type == INTENT:
            trial.acts = (*trial.acts, _act(event, at - zero, harm))
    trial.faults = (_truth(played, harm),)
    return trial


def _harm(second: Second, played: ScenePlayed) -> float:
    """The share of customers who were failed in a second, or `SLOW` where they only waited."""
    sent = sum(r.sent for r in second.routes.values())
    failed = sum(r.failed for r in second.routes.values()) / sent if sent else 0.0
    return round(failed or (SLOW if played.normal.hurts(second) else 0.0), 4)


def _act(record: ActionRecord, at_s: float, harm: tuple[float, ...]) -> ActSeen:
    at = int(at_s)
    before, after = harm[max(0, at - 5) : at], harm[at + 5 : at + 20]
    mean = [sum(h) / len(h) if h else 0.0 for h in (before, after)]
    return ActSeen(at_s, str(record.data.get("action", "")), record.target, False, mean[0], mean[1] if after else None)


def _truth(played: ScenePlayed, harm: tuple[float, ...]) -> FaultSeen:
    scene = played.scene
    hurt = [i for i, h in enumerate(harm) if h >= SLOW and i >= BEFORE_S - 1]
    return FaultSeen(
        kind=scene.name,
        level=LEVELS.get(scene.name, "service"),
        service=scene.culprit,
        roots=(scene.culprit,),
        causes=tuple(sorted(c.value for c in scene.causes)),
        repairs=((scene.action, scene.culprit),) if scene.action else (),
        path=(*sorted(f"{NAMESPACE}/{n}" for n in SHOP), scene.culprit),
        begin_s=float(BEFORE_S),
        size=1.0,
        hurt_from_s=float(hurt[0]) if hurt else None,
        hurt_until_s=float(hurt[-1] + 1) if hurt else None,
        gone_s=float(hurt[-1] + 1) if hurt and hurt[-1] < len(harm) - 3 else None,
    )
