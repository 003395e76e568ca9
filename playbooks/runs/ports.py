"""The ports and settings of an executor."""

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
    """What an executor is made of. `playbooks` by name; `actuators` in order of preference; `graph` queues a graph write.

    `autonomy` is what this process was set to: nobody can decide above it. `caught_up` returns once every switch that was turned
    before the call is known; Retryable if that can't be found out, and then nothing may be done. `changed` is told the environment
    of each run of which the journal has something new.
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
    caught_up: Callable[[], Awaitable[None]]
    changed: Callable[[str], None]
