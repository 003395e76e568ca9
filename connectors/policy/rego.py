"""Rego in this process, by regopy (the bindings of rego-cpp). About 20 ms per question, in a thread."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

import regopy
from regopy.rego_shared import RegoError

from connectors.policy.verdict import verdict_of
from contracts.errors import InvalidSettings, PolicyUnavailable
from contracts.ports import PolicyVerdict

_QUERY: Final = "data.homeostat"
_PLACE: Final = re.compile(r"\(error \d+:.*?\|(\d+)\|(\d+)\s*\(errormsg (\d+):", re.DOTALL)
_PACKAGE: Final = re.compile(r"^\s*package\s+homeostat\s*(#.*)?$", re.MULTILINE)


class RegoPolicy:
    """One module with `package homeostat`. A question is asked of a fresh input; the policy keeps no state."""

    def __init__(self, name: str, text: str) -> None:
        """Compile `text`; `name` is for messages.

        Raises:
            InvalidSettings: name:line:column and what is wrong.
        """
        self._name = name
        if not _PACKAGE.search(text):
            raise InvalidSettings(f"{name}: no policy of Homeostat", fix="it must begin with `package homeostat`")
        self._turn = threading.Lock()
        self._interpreter = regopy.Interpreter()
        try:
            self._interpreter.add_module(name, text)
        except RegoError as e:
            raise InvalidSettings(explain(name, text, str(e)), fix="see `opa check`") from e
        try:
            self._ask({})
        except PolicyUnavailable as e:
            raise InvalidSettings(str(e), fix="see `opa check`") from e

    @classmethod
    def from_file(cls, path: Path) -> RegoPolicy:
        """Read and compile a file. Raises InvalidSettings."""
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise InvalidSettings(f"act.policy: can't read {path}: {e}") from e
        return cls(str(path), text)

    async def evaluate(self, document: Mapping[str, Any]) -> PolicyVerdict:
        """The verdict on one intended action.

        Raises:
            PolicyUnavailable: the policy can't be evaluated on it.
        """
        return verdict_of(await asyncio.to_thread(self._ask, document))

    async def close(self) -> None:
        """Nothing to release."""

    def _ask(self, document: Mapping[str, Any]) -> object:
        with self._turn:
            try:
                self._interpreter.set_input(json.loads(json.dumps(document)))
                output = self._interpreter.query(_QUERY)
                ok = output.ok()
            except (RegoError, TypeError, ValueError) as e:
                # What rego-cpp can't evaluate it says in words instead of JSON, which its binding stumbles over.
                why = "a function that is not there?" if isinstance(e, json.JSONDecodeError) else str(e)
                raise PolicyUnavailable(f"{self._name}: can't be evaluated: {why}") from e
            if not ok:
                raise PolicyUnavailable(f"{self._name}: can't be evaluated: two rules give homeostat different values?")
            found = [e for result in output.results for e in result.expressions]
            return found[0] if found else None


def built_in() -> RegoPolicy:
    """The policy that ships with Homeostat."""
    return RegoPolicy("default.rego", resources.files(__package__).joinpath("default.rego").read_text("utf-8"))


def explain(name: str, text: str, error: str) -> str:
    """What rego-cpp found, as name:line:column: message, with the line. Its places are byte offsets."""
    found = _PLACE.search(error)
    if found is None:
        return f"{name}: {error.strip()}"
    offset, length = int(found[1]), int(found[3])
    message = error[found.end() : found.end() + length]
    before = text.encode()[:offset].decode("utf-8", "replace")
    line, column = before.count("\n") + 1, offset - before.encode().rfind(b"\n")
    lines = text.splitlines()
    source = f": {lines[line - 1].strip()}" if line <= len(lines) else ""
    return f"{name}:{line}:{column}: {message}{source}"
