"""What the executor is connected to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from contracts.ports import Actuator, Clock, GraphWrite, Journal, PolicyEngine
from contracts.settings import ActSettings
from contracts.verdicts import Autonomy
from playbooks.language.model import Playbook
from playbooks.runs.audit_trail import Publish


@dataclass(frozen=True, slots=True)
class ExecutorWiring:
    """Ports and settings. `playbooks` by name; `actuators` in order of preference; `graph` queues a graph write.

    `autonomy` is what this process was set to: nobody can decide above it. `heard` returns once every switch that was turned
    before the call is known; Retryable if that can't be found out, and then nothing may be done.
    """

    journal: Journal
    actuators: Sequence[Actuator]
    policy: PolicyEngine
    clock: Clock
    playbooks: Mapping[str, Playbook]
    settings: ActSettings
    publish: Publish
    graph: Callable[[GraphWrite], None]
    autonomy: Autonomy
    heard: Callable[[], Awaitable[None]]
