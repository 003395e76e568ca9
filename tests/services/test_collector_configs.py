"""Every Collector configuration that is shipped or shown in the documentation, judged by the real Collector."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.services.servers import collector

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "deploy" / "collector").rglob("*.yaml"))
SHOWN = re.findall(
    r"^```yaml collector\n(.*?)^```", (ROOT / "docs" / "telemetry.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the gateway takes from its environment."""
    monkeypatch.setenv("KAFKA_PASSWORD", "given")


def test_the_usual_cases_are_there() -> None:
    assert {"agent", "config", "direct", "gateway"} <= {p.stem for p in SHIPPED}
    assert SHOWN


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped(path: Path) -> None:
    # The authority's certificate is mounted in a cluster; here it only has to be a name.
    assert collector.validate(path.read_text("utf-8")) == ""


@pytest.mark.parametrize("text", SHOWN)
def test_shown(text: str) -> None:
    assert collector.validate(text) == ""


def test_a_misspelt_setting_would_be_noticed() -> None:
    text = (ROOT / "deploy/collector/examples/direct.yaml").read_text("utf-8")
    assert "partition_traces_by_ids" in collector.validate(
        text.replace("partition_traces_by_id:", "partition_traces_by_ids:")
    )
