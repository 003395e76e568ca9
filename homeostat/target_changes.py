"""What became of targets between two looks at them: a release, a configuration, a scaling that nobody may have told of.

Whoever acts describes its targets every few seconds. That a version is another one is seen there also where spans carry none and no cluster
is watched; and what the platform could go back to is known with it. What we did ourselves is told by its run, and no news.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from contracts.events import PLATFORM, Change, ReportedRun
from contracts.targets import RELEASE_MARK, TargetState
from contracts.units import SECOND
from contracts.verdicts import TERMINAL_RUN_STATES, RunState

APART_NS: Final = 15 * SECOND
"""Two looks further apart than this don't say when something changed between them, and so nothing is told of it."""
OURS_NS: Final = 30 * SECOND
"""For so long after a run of ours what becomes of its target may still be its doing."""

Look = tuple[TargetState, int]
"""How a target is described, and when that was asked."""


@dataclass(slots=True)
class TargetChanges:
    """The last look at each target of one environment."""

    environment: str
    _looks: dict[str, Look] = field(default_factory=dict)

    def found(self, looks: Mapping[str, Look], runs: Iterable[ReportedRun]) -> list[Change]:
        """What changed since the looks before, by no doing of ours. It is told again until `keep` is called."""
        busy = [r for r in runs if r.state is not RunState.AWAITING_APPROVAL]
        out: list[Change] = []
        for service, (state, asked_ns) in sorted(looks.items()):
            before = self._looks.get(service)
            if before is not None and asked_ns - before[1] <= APART_NS and not _ours(service, state, asked_ns, busy):
                out += _between(self.environment, service, before, state)
        return out

    def keep(self, looks: Mapping[str, Look]) -> None:
        """From now on these are the looks before."""
        self._looks = dict(looks)


def _ours(service: str, state: TargetState, asked_ns: int, runs: Iterable[ReportedRun]) -> bool:
    key = "" if state.identity is None else state.identity.key
    return any(
        (r.target == service or (key and key in r.identities))
        and (r.state not in TERMINAL_RUN_STATES or asked_ns - r.updated_ns <= OURS_NS)
        for r in runs
    )


def _between(environment: str, service: str, look: Look, after: TargetState) -> Iterator[Change]:
    """What is otherwise than at the look before. It is dated then: after that it was as it is now."""
    before, time_ns = look
    if before.identity != after.identity:
        return  # another thing by the same name
    if before.version and after.version and before.version != after.version:
        kind = "rollback" if before.previous_version.partition(RELEASE_MARK)[0] == after.version else "deploy"
        levels, text = (before.version, after.version), f"{service} runs {after.version} instead of {before.version}"
    elif after.version and _another_configuration(before, after):
        kind, levels = "config", ("", "")
        text = f"{service} runs {after.version} with another configuration"
    elif 0 < before.replicas != after.replicas:
        kind, levels = "scale", (str(before.replicas), str(after.replicas))
        text = f"{service} has {after.replicas} instances instead of {before.replicas}"
    else:
        return
    yield Change(
        environment=environment,
        service=service,
        kind=kind,
        time_ns=time_ns,
        actor=PLATFORM,
        before=levels[0],
        after=levels[1],
        text=text,
    )


def _another_configuration(before: TargetState, after: TargetState) -> bool:
    """Whether what could be gone back to is now another release of the version that runs."""
    version, mark, _ = after.previous_version.partition(RELEASE_MARK)
    return bool(mark) and version == after.version and before.previous_version != after.previous_version
