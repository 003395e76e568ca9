"""Settings of what is done, and which environments it may be done in."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from contracts.ports.acting import BUILT_IN, UNBOUND
from contracts.settings.section import Section


class BindingSettings(Section):
    """What an environment's name, which telemetry chooses, stands for. Nothing is acted on for a name that isn't bound."""

    actuators: tuple[str, ...] = Field((), description="actuators that may act for it; empty: all of act.actuators")
    cluster: str = Field(
        "",
        description="kubeconfig context of its cluster, or the uid of that cluster's namespace kube-system, which "
        "act.kube_context must lead to; empty: act.kube_context",
    )
    namespaces: tuple[str, ...] = Field(
        (),
        description="namespaces of the cluster that are its own; empty: all. Environments of one cluster name theirs",
    )


class ActSettings(Section):
    """Doing it, under guard."""

    actuators: tuple[str, ...] = Field(
        ("dry-run",), description="actuators, by registered name, first capable one wins"
    )
    environments: dict[str, BindingSettings] = Field(
        default_factory=dict,
        description="environments that may be acted on, and what each is bound to: name -> {actuators, cluster, namespaces}, "
        "`{}` for all that act.actuators reach. Needed by every actuator except dry-run and webhook",
    )
    playbooks: tuple[Path, ...] = Field((), description="folders or files with playbooks, besides the built-in library")
    library: bool = Field(True, description="whether the built-in playbooks are offered")
    policy: str = Field(
        "",
        description="http(s)://opa:8181/v1/data/homeostat, a .rego file, or a plugin's name; empty: the built-in policy",
    )
    journal: Literal["auto", "sqlite", "kafka"] = Field(
        "auto",
        description="where runs are recorded: sqlite (a file, for one worker), kafka (the topic "
        "autonomous.journal, for any number of machines); auto: sqlite with the embedded log, else kafka",
    )
    journal_kept_s: float = Field(
        2_592_000.0,
        gt=0,
        description="how long the journal keeps what is over: runs that ended, decisions that had none, and what was noted of "
        "them; a week at least is kept, which guards look back on. The audit trail is no part of this",
    )
    journal_runs: int = Field(
        10_000,
        ge=1,
        description="most runs that the journal keeps; above, those that changed longest ago are forgotten before "
        "act.journal_kept_s, but none that a guard, an approval or an open run still asks for",
    )
    foreign_decisions: bool = Field(
        False,
        description="whether to carry out decisions on autonomous.decisions that this installation's own decide stage did "
        "not make; whoever may write there then acts",
    )
    approval_expiry_s: float = Field(900.0, gt=0, description="an approval not given in this time is a no")
    decision_expiry_s: float = Field(120.0, gt=0, description="a decision not begun in this time is too old to act on")
    audit_ack_s: float = Field(
        5.0,
        gt=0,
        description="how long an effect waits for the broker to take its audit event, and for its journal; then no effect",
    )
    installation: str = Field(
        "",
        max_length=100,
        description="name of this installation, left at what it acts on so that another one knows of it; all its workers have the same. "
        "Empty: <broker.group>@<id of the Kafka cluster>, with the embedded log a name made up once per data folder",
    )
    others_pause_s: float = Field(
        300.0,
        ge=0,
        description="for so long nothing is done to what another installation of Homeostat has acted on, where the target's "
        "system can tell; a playbook's longer cooldown counts instead",
    )
    max_concurrent: int = Field(
        3,
        ge=1,
        description="runs at once in an environment, on different targets and within each playbook's blast radius",
    )
    circuit_failures: int = Field(
        3, ge=1, description="harmful or failed runs of a playbook on a target that open its circuit"
    )
    circuit_reset_s: float = Field(3600.0, gt=0, description="time until an open circuit lets one attempt through")
    webhooks: dict[str, SecretStr] = Field(
        default_factory=dict, description="named webhook targets: name -> URL, which is treated as a secret"
    )
    commands: dict[str, list[str]] = Field(default_factory=dict, description="named commands: name -> argument vector")
    actions: dict[str, str] = Field(
        default_factory=dict,
        description="what webhooks and commands do beside those steps that name them: action (`flag`, `shift`) -> `command:<name>` or "
        "`webhook:<name>`, whose words and URL may hold the action's arguments, as in `{flag}`",
    )
    process_manager: str = Field("", description="URL of the local process manager (actuator `process`)")
    kube_context: str = Field(
        "", description="kubeconfig context (actuator `kubernetes`); empty: in-cluster or current"
    )
    kube_take_over: tuple[str, ...] = Field(
        ("kubectl", "helm"),
        description="field managers whose server-side-applied replicas and templates the actuator `kubernetes` may change; what others apply is left alone",
    )
    kube_owners: tuple[str, ...] = Field(
        (),
        description="kinds of owners (`Kind.group`, e.g. `Canary.flagger.app`) whose objects the actuator `kubernetes` may change all the same, as they don't change them back",
    )

    @model_validator(mode="after")
    def _actions_are_done_by_what_is_named(self) -> Self:
        for action, by in self.actions.items():
            kind, _, name = by.partition(":")
            named = {"command": frozenset(self.commands), "webhook": frozenset(self.webhooks)}.get(kind, frozenset())
            if name not in named:
                raise ValueError(
                    f"actions.{action}: {by!r} is no `command:<name>` or `webhook:<name>` that is set here"
                )
        return self

    def done_by(self, actuator: str) -> dict[str, str]:
        """What an actuator of commands or webhooks does beside the steps that name them: action -> the name of what does it."""
        pairs = ((action, by.partition(":")) for action, by in self.actions.items())
        return {action: name for action, (kind, _, name) in pairs if kind == actuator}

    @model_validator(mode="after")
    def _each_thing_has_one_environment(self) -> Self:
        """Guards count by environment, and each environment has a process of its own: a thing that two of them reach would have two
        of everything, and neither would know."""
        for (a, one), (b, other) in combinations(self.environments.items(), 2):
            for actuator in sorted(set(self.actuators) - {"command", *UNBOUND}):
                if self.binding(a, actuator) and self.binding(b, actuator) and _overlap(one, other, actuator):
                    raise ValueError(_overlapping(a, b, actuator))
        return self

    def binding(self, environment: str, actuator: str) -> BindingSettings | None:
        """What an environment is bound to, if this actuator may act for it."""
        found = self.environments.get(environment)
        if found is None and actuator in UNBOUND:
            return _NOWHERE
        if found is None or (found.actuators and actuator not in found.actuators and actuator not in UNBOUND):
            return None
        return found

    def strays(self, environment: str, actuator: str, namespace: str) -> str:
        """Why what an actuator found in a namespace ("" where it has none) is none of the environment's; "" where it is.

        The actuators that come with Homeostat look where the environment is bound to; of others this is what says so.
        """
        bound = self.binding(environment, actuator)
        if bound is None:
            return self.unbound(environment)
        if actuator in BUILT_IN or not bound.namespaces or namespace in bound.namespaces:
            return ""
        where = f"in namespace {namespace!r}" if namespace else "in no namespace"
        return (
            f"what {actuator} would touch is {where}, and environment {environment!r} has {', '.join(bound.namespaces)}"
        )

    def unbound(self, environment: str) -> str:
        """Why nothing is acted on for an environment, and the line of configuration that would change that."""
        bound = self.environments.get(environment)
        if bound is None:
            return f"environment {environment!r} is bound to nothing: act.environments would need {{{environment!r}: {{}}}}"
        return f"environment {environment!r} is bound to {', '.join(bound.actuators)} only (act.environments)"


_NOWHERE = BindingSettings()


def _overlap(one: BindingSettings, other: BindingSettings, actuator: str) -> bool:
    if actuator == "process":
        return True  # there is one process manager
    if (
        actuator not in BUILT_IN
    ):  # what clusters mean to it nobody knows; the namespace of what it resolves is held to (`strays`)
        return not one.namespaces or not other.namespaces or bool(set(one.namespaces) & set(other.namespaces))
    shared = not one.namespaces or not other.namespaces or set(one.namespaces) & set(other.namespaces)
    return one.cluster == other.cluster and bool(shared)


def _overlapping(one: str, other: str, actuator: str) -> str:
    if actuator == "process":
        return f"environments {one!r} and {other!r} share the process manager: bind one of them to it"
    if actuator not in BUILT_IN:
        return (
            f"environments {one!r} and {other!r} may reach the same things by the actuator {actuator!r}: name the namespaces of "
            "each, or in each the actuators that may act for it"
        )
    return (
        f"environments {one!r} and {other!r} are bound to the same things of one cluster: name the namespaces of each"
    )
