"""Good playbooks become values; whatever else comes in becomes problems, never an exception."""

import dataclasses
import json
import math
from pathlib import Path

import hypothesis.strategies as st
import jsonschema
import pytest
from hypothesis import given, settings
from ruamel.yaml import YAML

from contracts.verdicts import CauseKind, Severity
from playbooks.language import Check, Guards, Playbook, inspect, library, lint, read
from playbooks.language.actions import tells
from playbooks.language.reader import LIBRARY
from playbooks.language.reference import renewed
from playbooks.language.schema import FILE, json_schema, schema_text

ROOT = Path(__file__).parents[4]
BAD = ROOT / "tests" / "testdata" / "bad_playbooks"

WHOLE = b"""\
apiVersion: homeostat.io/v1
kind: Playbook
metadata:
  name: whole
  version: 2.0.1-rc1
  description: Everything there is.
  labels: {team: shop}
trigger:
  match:
    cause: [hang, latency]
    severity: critical
    services: "shop-*"
    labels: {k8s.namespace.name: "shop-*"}
  when: replicas < 5
tier: 2
value: 2
cost: 0.5
guards: {cooldown: 1h30m, maxPerHour: 2, maxReplicas: 6, minReplicas: 2, blastRadius: 0.5, maxConcurrent: 2, windows: [22:00-06:00]}
steps:
  - {name: grow, action: scale, with: {by: +1}, retries: 2, timeout: 500ms}
  - {name: settle, action: wait, with: {duration: 1m}, needs: grow}
  - {name: back, action: rollback, needs: [settle]}
  - {name: to, action: rollback, with: {to: "1.2"}}
  - {name: restart, action: restart}
  - {name: tell, action: webhook, with: {name: pager, body: {count: 3, who: "${{ service.name }}", ok: true}}}
  - {name: flush, action: command, with: {name: flush, args: [--all, "${{ service.name }}"]}}
verify:
  checks:
    - feature: latency_p95
    - {feature: error_rate, service: callers, better: lower, by: 0.8}
  for: 10s
  within: 2m
rollback:
  - {name: grow, action: scale, with: {replicas: before}}
  - {name: back, action: rollback, with: {to: before}}
"""


def whole() -> Playbook:
    playbook, problems = inspect("whole.yaml", WHOLE)
    assert playbook is not None, problems
    return playbook


def test_everything_there_is():
    p = whole()
    assert (p.name, p.version, p.tier, p.value, p.cost, p.source) == ("whole", "2.0.1-rc1", 2, 2, 0.5, "whole.yaml")
    assert p.trigger.match.causes == (CauseKind.HANG, CauseKind.LATENCY)
    assert p.trigger.match.severities == (Severity.CRITICAL,)
    assert p.trigger.match.services == ("shop-*",)
    assert p.trigger.when == ("replicas < 5",)
    assert p.guards == Guards(5400.0, 2, 6, 2, 0.5, 2, ("22:00-06:00",))
    assert p.verify.checks == (Check("latency_p95"), Check("error_rate", "callers", "lower", 0.8))
    assert (p.verify.for_s, p.verify.within_s) == (10.0, 120.0)


def test_arguments_come_in_the_one_form_the_executor_knows():
    steps = {s.name: s for s in whole().steps}
    assert steps["grow"].arguments == {"by": 1}
    assert (steps["grow"].retries, steps["grow"].timeout_s) == (2, 0.5)
    assert steps["settle"].arguments == {"seconds": 60.0}
    assert steps["settle"].needs == ("grow",)
    assert steps["back"].arguments == {}, "the version before is the executor's to find"
    assert steps["to"].arguments == {"version": "1.2"}
    assert steps["restart"].arguments == {"strategy": "rolling"}
    assert steps["tell"].arguments == {"name": "pager", "body": {"count": 3, "who": "${{ service.name }}", "ok": True}}
    assert steps["flush"].arguments == {"name": "flush", "args": ["--all", "${{ service.name }}"]}
    undo = {s.name: s.arguments for s in whole().rollback}
    assert undo == {"grow": {"replicas": "before"}, "back": {"version": "before"}}


def test_defaults_are_those_of_the_values():
    text = b"""{apiVersion: homeostat.io/v1, kind: Playbook, metadata: {name: a, version: "1", description: b},
      trigger: {match: {cause: hang}}, tier: 1, steps: [{name: r, action: restart}], verify: {checks: [{feature: error_rate}]}}"""
    playbook, problems = inspect("a.yaml", text)
    assert problems == []
    assert playbook is not None
    assert playbook.guards == Guards()
    assert (playbook.value, playbook.cost, playbook.verify.for_s, playbook.verify.within_s) == (1.0, 0.2, 3.0, 60.0)
    assert (playbook.steps[0].timeout_s, playbook.steps[0].retries, playbook.steps[0].needs) == (30.0, 0, ())


def test_the_defaults_in_the_reference_are_those_of_the_values():
    text = (ROOT / "docs" / "playbooks.md").read_text(encoding="utf-8")
    for key, default in (("cooldown", "5m"), ("maxPerHour", "3"), ("maxReplicas", "10"), ("minReplicas", "1")):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{key}` |"))
        assert f"| {default} |" in row
    assert Guards() == Guards(300.0, 3, 10, 1, 0.34, 1, ())


def test_the_library_is_sound():
    playbooks = library()
    assert len(playbooks) >= 9
    covered = {c for p in playbooks for c in p.trigger.match.causes}
    assert covered == set(CauseKind) - {CauseKind.UNKNOWN}
    for p in playbooks:
        assert Path(p.source).stem == p.name
        assert p.tier == 3 or p.verify.checks or tells(p)
        assert all(s.action != "rollback" or p.tier >= 2 for s in p.steps)
        asked = [s for s in (*p.steps, *p.rollback) if s.action != "wait"]
        assert all(s.retries for s in asked), "a platform that refuses for a moment is asked again"


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_library_fits_the_schema(path: Path):
    jsonschema.Draft202012Validator(json_schema()).validate(YAML(typ="safe", pure=True).load(path.read_text()))


def test_the_schema_is_a_schema_and_current():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert FILE.read_text(encoding="utf-8") == schema_text(), "write schema_text() to playbook.schema.json"


@pytest.mark.parametrize(
    "name",
    ["wrong_kind", "unknown_key", "unknown_cause", "tier_out_of_range", "unknown_action", "unknown_argument",
     "missing_argument", "bad_duration", "blast_radius_above_one", "bad_window", "edge_feature", "bad_name", "reserved_name"],
)  # fmt: skip
def test_the_schema_sees_what_it_can(name: str):
    document = YAML(typ="safe", pure=True).load((BAD / f"{name}.yaml").read_text())
    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors(document))


def test_the_reference_is_current():
    path = ROOT / "docs" / "playbooks.md"
    text = path.read_text(encoding="utf-8")
    assert text == renewed(text, library()), "write renewed(text, library()) to docs/playbooks.md"


def test_every_playbook_in_the_docs_is_right():
    text = (ROOT / "docs" / "playbooks.md").read_text(encoding="utf-8")
    blocks = [b.split("```")[0] for b in text.split("```yaml\n")[1:]]
    assert blocks
    for block in blocks:
        assert inspect("docs", block.encode())[1] == []


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_any_bytes_give_problems_or_a_playbook(payload: bytes):
    playbook, problems = inspect("x", payload)
    assert (playbook is None) == bool(problems)


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_playbook_gives_problems_or_a_playbook(data: st.DataObject):
    at = data.draw(st.integers(0, len(WHOLE) - 1))
    cut = data.draw(st.integers(0, 30))
    put = data.draw(
        st.sampled_from(
            [b"", b"&a", b"*a", b"\t", b"!!int", b"${{", b"[", b"- ", b"\n", b"null", b"1e400", b"0x1", b".nan"]
        )
    )
    playbook, problems = inspect("x", WHOLE[:at] + put + WHOLE[at + cut :])
    assert (playbook is None) == bool(problems)
    rows = (WHOLE[:at] + put + WHOLE[at + cut :]).count(b"\n") + 2
    assert all(1 <= p.line <= rows and p.column >= 1 for p in problems)


def documents() -> st.SearchStrategy[object]:
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    return st.recursive(
        scalars, lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=8), c, max_size=3), max_leaves=8
    )


@settings(max_examples=25)
@given(
    st.sampled_from(["metadata", "trigger", "tier", "value", "cost", "guards", "steps", "verify", "rollback"]),
    documents(),
)
def test_any_value_in_any_place_gives_problems_or_a_playbook(key: str, value: object):
    base = YAML(typ="safe", pure=True).load(WHOLE.decode())
    base[key] = value
    playbook, problems = inspect("x", json.dumps(base).encode())
    assert (playbook is None) == bool(problems)
    if playbook is not None:
        assert all(map(math.isfinite, (playbook.value, playbook.cost, playbook.guards.cooldown_s)))


def test_a_file_that_was_changed_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "whole.yaml"
    file.write_bytes(WHOLE)
    before = read(file)
    assert read(file) is before
    file.write_bytes(WHOLE.replace(before.version.encode(), b"9.9.9"))
    assert read(file) == dataclasses.replace(before, version="9.9.9")
    file.write_bytes(WHOLE + b"more: 1\n")
    assert len(lint(file)) == 1
