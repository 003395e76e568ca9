"""What a playbook says, once read: frozen values without behaviour. Durations are seconds.

The YAML form is `apiVersion: homeostat.io/v1`, `kind: Playbook`; see docs/playbooks.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.features import ERROR_RATE, LATENCY_P95
from contracts.verdicts import CauseKind, Severity


@dataclass(frozen=True, slots=True)
class Match:
    """Which incidents a playbook is for. Empty means any."""

    causes: tuple[CauseKind, ...] = ()
    severities: tuple[Severity, ...] = ()
    services: tuple[str, ...] = ()
    """Globs over the service name."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Globs over the service's identity attributes, e.g. `k8s.namespace.name: shop-*`."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """`match` and every CEL condition of `when` must hold."""

    match: Match
    when: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits that hold whatever the score says. Counted per playbook and target from the journal."""

    cooldown_s: float = 300.0
    max_per_hour: int = 3
    max_replicas: int = 10
    min_replicas: int = 1
    blast_radius: float = 0.34
    """Largest share of the environment's known services that may be directly affected by one run."""
    max_concurrent: int = 1
    windows: tuple[str, ...] = ()
    """UTC times of day in which it may run, as `Mon-Fri 08:00-18:00`; empty means always."""


@dataclass(frozen=True, slots=True)
class Step:
    """One effect or wait. `needs` are the names of steps that must be done before it."""

    name: str
    action: str  # the name of one of `contracts.actions`
    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    timeout_s: float = 30.0
    retries: int = 0
    """Further attempts after an error that proves the effect did not happen."""


ONE_INSTANCE: Final = "instance"
"""What a check names instead of a service that is on the one instance which was replaced, beside its siblings."""
ONE_INSTANCE_FEATURES: Final = (ERROR_RATE, LATENCY_P95)
"""What is known of one instance: what share of its requests fails, and how much slower they are than usual."""


@dataclass(frozen=True, slots=True)
class Check:
    """One feature that tells whether it helped. `service` is `target`, `callers`, `instance` or a service's name."""

    feature: str
    service: str = "target"
    better: str = "expected"
    """`expected`: back inside the expected range; `lower` or `higher`: by at least `by` against its worst."""
    by: float = 0.5


@dataclass(frozen=True, slots=True)
class Verify:
    """It helped if every check holds for `for_s`, within `within_s` of the last step."""

    checks: tuple[Check, ...]
    for_s: float = 3.0
    within_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Playbook:
    """A remedy and all that limits it. `tier`: 1 autonomous, 2 validated before, 3 needs a person's approval."""

    name: str
    version: str
    description: str
    trigger: Trigger
    tier: int
    guards: Guards
    steps: tuple[Step, ...]
    verify: Verify
    rollback: tuple[Step, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    value: float = 1.0
    """Worth of a success, relative to other playbooks."""
    cost: float = 0.2
    """Cost of doing it even if it works (disturbance); the cost of failing grows with blast radius and tier."""
    source: str = ""
