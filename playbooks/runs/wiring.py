"""What the executor is connected to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from contracts.ports import Actuator, Clock, GraphWrite, Journal, PolicyEngine
from contracts.settings import ActSettings
from playbooks.language.model import Playbook
from playbooks.runs.trail import Publish


@dataclass(frozen=True, slots=True)
class ExecutorWiring:
    """Ports and settings. `playbooks` by name; `actuators` in order of preference; `graph` queues a graph write."""

    journal: Journal
    actuators: Sequence[Actuator]
    policy: PolicyEngine
    clock: Clock
    playbooks: Mapping[str, Playbook]
    settings: ActSettings
    publish: Publish
    graph: Callable[[GraphWrite], None]
