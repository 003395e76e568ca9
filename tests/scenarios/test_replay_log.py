"""What the workers did can be had again from the log they leave, stage by stage, byte for byte: decisions, and all that led to them."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
from pathlib import Path

import pytest

from contracts.events import Decision, Feedback, decode
from contracts.ports import Record
from contracts.settings import load
from contracts.topics import DECISIONS
from contracts.verdicts import DecisionVerdict, Outcome
from homeostat.runtime import Runtime
from tests.patience import LONG_S, PATIENCE_S
from tests.scenarios.story import Story, listening, until
from tests.scenarios.town import CALLS, FLUSH_MS, PARTITIONS, town

STAGES = ("ingest", "edges", "features", "detect", "diagnose", "decide")
IDLE = "series"
ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "receivers": {"grpc_port": 0, "http_port": 0},
    "api": {"port": 0},
    "broker": {"partitions": PARTITIONS},
    "ingest": {"flush_ms": FLUSH_MS},
    "detect": {"warmup_windows": 8, "stale_s": PATIENCE_S},
    "diagnose": {"resolve_s": 3},
    "decide": {"learn_s": 0, "recorded": (*STAGES, IDLE)},
    "act": {"actuators": ["dry-run"], "decision_expiry_s": PATIENCE_S, "audit_ack_s": PATIENCE_S},
}


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
async def test_every_stage_emits_the_same_again(tmp_path: Path) -> None:
    runtime = Runtime(load({"data_dir": tmp_path, **SETTINGS}))
    await runtime.start()
    try:
        async with listening(runtime.broker.bootstrap) as story:
            async with town(runtime.endpoints.otlp_http) as life:
                await until(lambda: len(story.states) == len(CALLS) and all(len(s) > 12 for s in story.states.values()))
                life.broken.add("stock")
                await story.want(Decision, lambda d: d.verdict is DecisionVerdict.ACT)
                life.broken.clear()
                assert (await story.want(Feedback)).outcome is Outcome.BETTER
            await asyncio.sleep(11)  # what was made longest ago is then certainly within what is compared
            await _same(tmp_path, runtime.broker.bootstrap, story)
    finally:
        await runtime.stop()


async def _same(folder: Path, bootstrap: str, story: Story) -> None:
    decided, now = [r for r in story.records if r.topic == DECISIONS], dt.datetime.now(dt.UTC).isoformat()
    place = f"{DECISIONS}/{decided[-1].partition}@{decided[-1].offset}"
    *stages, whole, last, otherwise = await replays(
        folder,
        bootstrap,
        *(["--stage", stage, "--until", now, "--compare"] for stage in STAGES),
        ["--json", "--until", now],
        ["--from-offset", place, "--until", now, "--json", "--compare"],
        ["--compare"],
        before_the_last={"HOMEOSTAT_DECIDE__AUTONOMY": "observe"},
    )
    for stage, (status, out, err) in zip(STAGES, stages, strict=True):
        assert status == 0, f"{stage}: {out}{err[:3000]}"
        assert "the same as in the log, byte for byte" in out, out
        assert not out.startswith("0 events"), stage
    status, out, err = whole
    assert status == 0, err
    assert [json.loads(line) for line in out.splitlines()] == [json.loads(r.value) for r in decided]
    status, out, err = last
    assert status == 0, err
    assert out.encode().splitlines() == [decided[-1].value]
    _differs(otherwise, decided[0])


def _differs(found: tuple[int, str, str], first: Record) -> None:
    """With other settings other decisions follow, and the first field that differs is named."""
    status, out, err = found
    assert status == 1, out
    assert f"{DECISIONS} {decode(Decision, first.value).id}: " in err
    assert "in the log" in err
    assert "made with another release, other settings or playbooks" in err


async def replays(
    folder: Path, bootstrap: str, *commands: list[str], before_the_last: dict[str, str]
) -> list[tuple[int, str, str]]:
    """Status, output and errors of each command with these arguments, all in one process that isn't the workers'; what its environment
    has besides before the last of them."""
    config = folder / "homeostat.yaml"
    config.write_text(json.dumps(SETTINGS))  # JSON is YAML
    always = ["--config", str(config), "--data-dir", str(folder), "replay", "--from-kafka", f"kafka://{bootstrap}"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.scenarios.commands"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200"},
    )
    asked = [[{}, [*always, *command]] for command in commands]
    asked[-1][0] = before_the_last
    out, err = await asyncio.wait_for(process.communicate(json.dumps(asked).encode()), PATIENCE_S)
    assert process.returncode == 0, err.decode()
    return [(status, told, errors) for status, told, errors in json.loads(out)]


async def replay(folder: Path, bootstrap: str, *arguments: str) -> tuple[int, str, str]:
    """The same of one command."""
    (found,) = await replays(folder, bootstrap, list(arguments), before_the_last={})
    return found
