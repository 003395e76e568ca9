"""The words of the process manager: a service it runs, what the service should be, an order and what became of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ManagedService:
    """A service to run. In `command`, `{port}` `{version}` `{instance}` `{manager}` are filled in for each instance.

    An instance serves once GET `ready_path` on its port answers 2xx. `replicas` and `version` are those of the first
    start; later ones go on with what was last asked for.
    """

    name: str
    command: tuple[str, ...]
    replicas: int = 1
    version: str = "1"
    env: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = "/healthz"
    ready_timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What a service should be. `generation` counts changes."""

    replicas: int
    version: str
    previous_version: str = ""
    generation: int = 1


@dataclass(frozen=True, slots=True)
class Order:
    """One effect that was asked for. `kind`: scale, restart, rollback or deploy."""

    key: str
    service: str
    kind: str
    arguments: Mapping[str, Any]


class OperationState(enum.StrEnum):
    """What became of an order. FAILED: it had no effect. UNKNOWN: the manager ended while it was under way."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Operation:
    """An order and what became of it. `result` is the service's state after it."""

    order: Order
    state: OperationState
    text: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
