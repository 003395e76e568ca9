"""What whoever acts knows from before an episode."""

from __future__ import annotations

from contracts.units import SECOND
from homeostat.judge.past import evidence_from_before
from playbooks.runs.telemetry_view import TelemetryView
from twin.blueprint import Role
from twin.configuration import Split
from twin.episode import START_NS, SimulatedEpisode


def test_who_serves_was_at_work_before_and_nothing_else_is_known_of_it() -> None:
    plan = SimulatedEpisode.drawn(Split.TUNING, 21, services=6, style="complete").plan
    view = TelemetryView()
    frames = list(evidence_from_before(plan, START_NS))
    for frame in frames:
        view.observe(frame)
    told = {s.name for s in plan.services if s.role in (Role.GATEWAY, Role.SERVICE, Role.WORKER)}
    assert view.established() == told
    assert not any(name.startswith(("db:", "external:")) for name in told)
    assert all(START_NS - f.window_ns > 180 * SECOND for f in frames), "none is taken for what is usual"
