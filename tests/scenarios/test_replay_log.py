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
from tests.scenarios.town import CALLS, FLUSH_MS, town

STAGES = ("ingest", "edges", "features", "detect", "diagnose", "decide")
IDLE = "series"
SETTINGS = {
    "receivers": {"grpc_port": 0, "http_port": 0},
    "api": {"port": 0},
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
    asked = [replay(folder, bootstrap, "--stage", stage, "--until", now, "--compare") for stage in STAGES]
    for stage, (status, out, err) in zip(STAGES, await asyncio.gather(*asked), strict=True):
        assert status == 0, f"{stage}: {out}{err[:3000]}"
        assert "the same as in the log, byte for byte" in out, out
        assert not out.startswith("0 events"), stage
    status, out, err = await replay(folder, bootstrap, "--json", "--until", now)
    assert status == 0, err
    assert [json.loads(line) for line in out.splitlines()] == [json.loads(r.value) for r in decided]
    await _from_offset(folder, bootstrap, decided[-1], now)
    await _otherwise(folder, bootstrap, decided[0])


async def _from_offset(folder: Path, bootstrap: str, last: Record, until_: str) -> None:
    place = f"{DECISIONS}/{last.partition}@{last.offset}"
    status, out, err = await replay(folder, bootstrap, "--from-offset", place, "--until", until_, "--json", "--compare")
    assert status == 0, err
    assert out.encode().splitlines() == [last.value]


async def _otherwise(folder: Path, bootstrap: str, first: Record) -> None:
    """With other settings other decisions follow, and the first field that differs is named."""
    status, out, err = await replay(
        folder, bootstrap, "--compare", environment={"HOMEOSTAT_DECIDE__AUTONOMY": "observe"}
    )
    assert status == 1, out
    assert f"{DECISIONS} {decode(Decision, first.value).id}: " in err
    assert "in the log" in err
    assert "made with another release, other settings or playbooks" in err


async def replay(
    folder: Path, bootstrap: str, *arguments: str, environment: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """Status, output and errors of the command."""
    config = folder / "homeostat.yaml"
    if not config.exists():  # another replay may be reading it
        config.write_text(json.dumps(SETTINGS))  # JSON is YAML
    command = [sys.executable, "-m", "homeostat", "--config", str(config), "--data-dir", str(folder), "replay"]
    process = await asyncio.create_subprocess_exec(
        *(*command, "--from-kafka", f"kafka://{bootstrap}", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", **(environment or {})},
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode or 0, out.decode(), err.decode()
