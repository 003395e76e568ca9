"""What was verified to help a target a moment ago has still to show in all that is said of it, whichever incident says so. Pure.

One failure may be two incidents for a while. The remedy that was done for one of them is one for the other, too.
"""

from __future__ import annotations

from typing import Final

from contracts.ports import TargetState
from contracts.units import SECOND
from contracts.verdicts import HeldReason, RunState
from playbooks.decision.world import DecisionWorld
from playbooks.guards import Held
from playbooks.guards.context import acted, last_ns, on_one
from playbooks.language.actions import touching
from playbooks.language.model import Playbook

ECHOES_S: Final = 20.0
"""Seconds after a remedy was seen to help in which what its target shows is mostly of before: two looks at what is known lately."""


def echoed(playbook: Playbook, service: str, state: TargetState | None, world: DecisionWorld) -> Held | None:
    """Held back while another remedy has helped the same thing, by whatever name, a moment ago."""
    if not touching(playbook.steps):
        return None
    key = state.identity.key if state is not None and state.identity is not None else ""
    helped = (r for r in world.history if on_one(r, service, key) and r.state is RunState.SUCCEEDED and acted(r))
    latest = max(helped, key=lambda r: (last_ns(r), r.run), default=None)
    if latest is None or world.now_ns - last_ns(latest) >= ECHOES_S * SECOND:
        return None
    ago_s = max(world.now_ns - last_ns(latest), 0) / SECOND
    text = f"{latest.playbook} helped {service} {ago_s:.0f}s ago: what comes of that is waited for"
    return Held(HeldReason.CONCURRENCY, text)
