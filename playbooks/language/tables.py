"""The playbook document: blocks and their keys, one table. The reader, the JSON schema and the reference are made from it."""

from __future__ import annotations

from typing import Any, Final

from contracts.actions import Action, installed_actions
from contracts.verdicts import CauseKind, Severity
from playbooks.language.actions import ActionName, block_of
from playbooks.language.blocks import Block, Field, Many, Texts
from playbooks.language.expressions import EDGE_FEATURES, SERVICE_FEATURES
from playbooks.language.reading import BAD, Path, ReadContext
from playbooks.language.shapes import ChoiceShape, ConditionShape, Duration, Number, Text, TimeWindow
from playbooks.language.source import Node

API_VERSION: Final = "homeostat.io/v1"
KIND: Final = "Playbook"
RESERVED: Final = ("ask-a-person", "do-nothing")

_NAME: Final = Text(
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "lower-case letters, digits and -", 63, "restart-hung-service", RESERVED
)
_STEP_NAME: Final = Text(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "lower-case letters, digits and -", 63, "add-replica")

METADATA: Final = Block(
    "metadata",
    (
        Field("name", _NAME, "unique among all playbooks", required=True),
        Field(
            "version", Text(r"^[0-9A-Za-z.+-]{1,32}$", "a version", 32, '"1.0"'), "goes into the audit", required=True
        ),
        Field("description", Text(), "what it is for, in a sentence", required=True),
        Field("labels", Texts(), "for policy and for finding it", default="none"),
    ),
)

MATCH: Final = Block(
    "trigger.match",
    (
        Field(
            "cause",
            Many(ChoiceShape("cause", tuple(c.value for c in CauseKind)), or_one=True),
            "kinds of root cause",
            default="any",
        ),
        Field(
            "severity",
            Many(ChoiceShape("severity", tuple(s.value for s in Severity)), or_one=True),
            "severities",
            default="any",
        ),
        Field("services", Many(Text(longest=253), or_one=True), "globs over the service's name", default="any"),
        Field("labels", Texts(), "globs over identity attributes, e.g. `k8s.namespace.name: shop-*`", default="any"),
    ),
)

TRIGGER: Final = Block(
    "trigger",
    (
        Field("match", MATCH, "which causes it is a remedy for", required=True),
        Field("when", Many(ConditionShape(), or_one=True, most=20), "conditions that must all hold", default="none"),
    ),
)

GUARDS: Final = Block(
    "guards",
    (
        Field("cooldown", Duration(0.0, 604_800.0), "pause after a run on the same target", default="5m"),
        Field("maxPerHour", Number(1, 60, whole=True), "runs on one target in any hour", default="3"),
        Field("maxReplicas", Number(1, 10_000, whole=True), "never more replicas than this", default="10"),
        Field("minReplicas", Number(0, 10_000, whole=True), "never fewer replicas than this", default="1"),
        Field(
            "blastRadius",
            Number(0, 1, above_low=True),
            "largest share of the environment's services acted on at once; one is always allowed. Right before an effect only "
            "services count that served requests in five of the last ten minutes: names made up in telemetry don't enlarge it",
            default="0.34",
        ),
        Field("maxConcurrent", Number(1, 100, whole=True), "runs of this playbook at once", default="1"),
        Field("windows", Many(TimeWindow(), or_one=True), "times of the week in which it may run", default="always"),
    ),
)


class Steps:
    """A list of steps, whose `with` depends on their `action`."""

    def __init__(self, least: int) -> None:
        self._least = least

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        """A tuple of dicts, one per step."""
        steps = Many(_Step(), least=self._least, most=50).read(node, at, to)
        return steps if steps is BAD else tuple(s for s in steps if isinstance(s, dict))

    def schema(self) -> dict[str, Any]:
        """Every action's arguments are checked where the action is named."""
        step = STEP.schema()
        step["allOf"] = [_arguments_schema(action) for action in installed_actions().values()]
        return {"type": "array", "minItems": self._least, "maxItems": 50, "items": step}

    def describe(self) -> str:
        """Points to the step's own table."""
        return "see step"


def _arguments_schema(action: Action) -> dict[str, Any]:
    block = block_of(action)
    then: dict[str, Any] = {"properties": {"with": block.schema()}}
    if block.one_of or any(f.required for f in block.fields):
        then["required"] = ["with"]
    return {"if": {"properties": {"action": {"const": action.name}}, "required": ["action"]}, "then": then}


class _Step:
    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        step = STEP.read(node, at, to)
        if step is BAD or "action" not in step:
            return step
        block, given = block_of(installed_actions()[step["action"]]), to.nodes.get((*at, "with"))
        if given is not None:
            arguments = block.read(given, (*at, "with"), to)
            return {**step, "with": {} if arguments is BAD else arguments}
        if block.one_of or any(f.required for f in block.fields):
            wanted = " or ".join(repr(k) for k in block.one_of or [f.key for f in block.fields if f.required])
            to.problem(node, "missing", f"{block.name} needs 'with' holding {wanted}")
        return step

    def schema(self) -> dict[str, Any]:
        return STEP.schema()

    def describe(self) -> str:
        return STEP.describe()


class _Later:
    """Arguments: read once the action is known."""

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        del node, at, to
        return {}

    def schema(self) -> dict[str, Any]:
        return {"type": "object"}

    def describe(self) -> str:
        return "see actions"


STEP: Final = Block(
    "step",
    (
        Field("name", _STEP_NAME, "unique within the playbook", required=True),
        Field("action", ActionName(), "what is done", required=True),
        Field("with", _Later(), "the action's arguments", default="none"),
        Field("needs", Many(_STEP_NAME, or_one=True), "steps that must be done before", default="none"),
        Field("timeout", Duration(0.1, 3600.0), "longest time the effect may take", default="30s"),
        Field(
            "retries",
            Number(0, 10, whole=True),
            "further attempts after an error that proves nothing happened",
            default="0",
        ),
    ),
)

CHECK: Final = Block(
    "check",
    (
        Field(
            "feature",
            ChoiceShape("feature", SERVICE_FEATURES, EDGE_FEATURES, "is measured per edge, not per service"),
            "what is measured",
            required=True,
        ),
        Field(
            "service",
            Text(longest=253),
            "`target`, `callers`, a service's name, or `instance`: the one that was replaced, beside its siblings (a probe)",
            default="target",
        ),
        Field(
            "better",
            ChoiceShape("direction", ("expected", "lower", "higher")),
            "`expected`: back inside the expected range; `lower`, `higher`: by at least `by` against its worst",
            default="expected",
        ),
        Field("by", Number(0, 1, above_low=True), "share of its worst value by which it must change", default="0.5"),
    ),
)

VERIFY: Final = Block(
    "verify",
    (
        Field("checks", Many(CHECK, least=1, most=20), "all must hold", required=True),
        Field("for", Duration(0.1, 3600.0), "how long they must hold", default="3s"),
        Field("within", Duration(1.0, 7200.0), "how soon after the last step", default="60s"),
    ),
)

PLAYBOOK: Final = Block(
    "the playbook",
    (
        Field("apiVersion", ChoiceShape("API version", (API_VERSION,)), "version of the language", required=True),
        Field("kind", ChoiceShape("kind", (KIND,)), "what this file is", required=True),
        Field("metadata", METADATA, "what it is called", required=True),
        Field("trigger", TRIGGER, "what it is a remedy for", required=True),
        Field(
            "tier",
            Number(1, 3, whole=True),
            "1 acts by itself, 2 after validation, 3 after a person's approval",
            required=True,
        ),
        Field(
            "value", Number(0, 100, above_low=True), "worth of a success, relative to other playbooks", default="1.0"
        ),
        Field("cost", Number(0, 100), "cost of doing it even if it works (disturbance)", default="0.2"),
        Field("guards", GUARDS, "limits that hold whatever the score says", default="as listed"),
        Field("steps", Steps(least=1), "what is done", required=True),
        Field("verify", VERIFY, "how to tell whether it helped; tiers 1 and 2 need it"),
        Field("rollback", Steps(least=0), "what undoes it if it did harm; needed where an action can't undo itself"),
    ),
)

BLOCKS: Final = (PLAYBOOK, METADATA, TRIGGER, MATCH, GUARDS, STEP, VERIFY, CHECK)
