"""A policy: nothing is done while a file says that changes are frozen; else the built-in policy decides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from homeostat.api import Plugin, PluginSettings, PolicyEngine, PolicyUnavailable, PolicyVerdict, built_in_policy


class FreezeSettings(PluginSettings):
    file: Path = Field(Path("freeze.txt"), description="while it is there, nothing is done; its text is the reason")


class Freeze:
    def __init__(self, file: Path, otherwise: PolicyEngine) -> None:
        self._file, self._otherwise = file, otherwise

    async def evaluate(self, document: Mapping[str, Any]) -> PolicyVerdict:
        verdict = await self._otherwise.evaluate(document)
        try:
            why = self._file.read_text("utf-8").strip()
        except FileNotFoundError:
            return verdict
        except OSError as e:  # whether it is frozen can't be known: then nothing is done
            raise PolicyUnavailable(f"{self._file}: {e}") from e
        return PolicyVerdict(False, (f"changes are frozen: {why or 'no reason is given'}", *verdict.denials))

    async def close(self) -> None:
        await self._otherwise.close()


PLUGIN: Plugin[str, Freeze] = Plugin(lambda own, _: Freeze(own.file, built_in_policy()), settings=FreezeSettings)
