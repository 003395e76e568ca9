"""Settings of decisions."""

from __future__ import annotations

from pydantic import Field

from contracts.settings.section import Section
from contracts.verdicts import Autonomy


class DecideSettings(Section):
    """What to do about it."""

    autonomy: Autonomy = Field(Autonomy.ACT, description="act | suggest | observe")
    min_confidence: float = Field(0.75, ge=0, le=1, description="below this probability of the cause a person is asked")
    learn_s: float = Field(
        75.0,
        ge=0,
        description="for so long after an environment's telemetry begins a person is asked: what is usual is hardly known yet",
    )
    prior_successes: float = Field(2.0, gt=0, description="prior of P(success): successes")
    prior_failures: float = Field(1.0, gt=0, description="prior of P(success): failures")
    capability_half_life_s: float = Field(
        1800.0, gt=0, description="decay of what one outcome teaches about a playbook"
    )
    trust_half_life_s: float = Field(259_200.0, gt=0, description="decay of trust in a playbook over all services")
    recorded: tuple[str, ...] = Field(
        ("detect", "diagnose", "decide"),
        description="stages whose handling is recorded on autonomous.handling, for `homeostat replay --from-kafka`",
    )
