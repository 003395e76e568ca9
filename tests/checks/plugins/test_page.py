"""The sink of docs/plugins.md, as it stands there: its code, its entry point, its settings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from contracts.settings import load
from contracts.settings_sources import of_file
from homeostat.plugins import check, find
from tests.plugin_dist import install

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "plugins.md").read_text("utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


async def test_the_sink_of_the_page_passes_its_suite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    points = tomllib.loads(block("toml"))["project"]["entry-points"]["homeostat.sink"]
    module, _, target = points["console"].partition(":")
    install(monkeypatch, tmp_path, module, block("python"), {"sink.console": f":{target}"})
    (tmp_path / "h.yaml").write_text(block("yaml"))
    settings = load(of_file(tmp_path / "h.yaml"), environ={})
    assert settings.sinks.use == ("console",)
    found = [o async for o in check(find("console"), settings)]
    assert found
    assert [o for o in found if o.problem] == []
