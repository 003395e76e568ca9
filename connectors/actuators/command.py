"""The actuator `command`: runs programs that the settings name, as an argument vector. There is no shell anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
from typing import Final

from connectors.actuators.named import NamedActuator, filled
from contracts.errors import ActionFailed, OutcomeUnknown
from contracts.ports import StepRequest, StepResult
from contracts.sanitizing import plain
from contracts.secrets import masked
from contracts.settings import ActSettings

_KEPT_BYTES: Final = 2000
_TOLD: Final = 200
"""Characters of its output that are told: what is told is kept for ever."""
_GRACE_S: Final = 1.0
_OWN: Final = "HOMEOSTAT_"
VARIABLES: Final = tuple(_OWN + name for name in ("KEY", "RUN", "STEP", "ENVIRONMENT", "SERVICE", "INSTALLATION"))
"""What a program is told in its environment."""


class CommandActuator(NamedActuator[tuple[str, ...]]):
    """Exit status 0 is done, another one is failed; one that had to be killed has an unknown outcome.

    The program's environment is Homeostat's without its settings (which may hold passwords), and with HOMEOSTAT_KEY,
    _RUN, _STEP, _ENVIRONMENT, _SERVICE and _INSTALLATION. A program that may not run twice should look at the key, and one on whose
    object another Homeostat may act, too, should leave the last of these there, and end with another status than 0 where it finds another.
    """

    name = "command"

    def __init__(self, settings: ActSettings) -> None:
        commands = {name: tuple(vector) for name, vector in settings.commands.items()}
        super().__init__(commands, settings.done_by(self.name))

    async def _do(self, name: str, defined: tuple[str, ...], request: StepRequest) -> StepResult:
        """Run it, `args` appended or what the action is given filled in, and wait for its end."""
        vector = _words(name, defined, self._given(request)) + [str(a) for a in request.arguments.get("args", ())]
        try:
            process = await asyncio.create_subprocess_exec(
                *vector,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=_environment(request),
                start_new_session=True,
            )
        except (OSError, ValueError, IndexError, TypeError) as e:
            raise ActionFailed(f"command {name} can't be run: {e}") from e
        try:
            async with asyncio.timeout(request.timeout_s):
                said = await _last_words(process)
                status = await process.wait()
        except TimeoutError as e:
            raise OutcomeUnknown(f"command {name} was killed after {request.timeout_s:g} s") from e
        finally:
            await _end(process)
        text = f"command {name} ended with status {status}" + (f": {said}" if said else "")
        if status < 0:
            raise OutcomeUnknown(f"command {name} was killed by signal {-status}" + (f": {said}" if said else ""))
        if status != 0:
            raise ActionFailed(text)
        return StepResult(text, None, {"command": name, "status": status})


def _words(name: str, defined: tuple[str, ...], given: dict[str, str]) -> list[str]:
    """The argument vector. What is filled in makes no option of a word that was none.

    Raises:
        ActionFailed: it would, or it is not printable.
    """
    words = [filled(word, given) for word in defined]
    for word, written in zip(words, defined, strict=True):
        if word != written and (not word.isprintable() or (word.startswith("-") and not written.startswith("-"))):
            raise ActionFailed(
                f"command {name}: {word[:80]!a} is nothing to fill in for {written!a}", reason="argument"
            )
    return words


async def _last_words(process: asyncio.subprocess.Process) -> str:
    """The end of its output, without secrets and what a terminal obeys; where there was more, a digest of all of it."""
    assert process.stdout is not None
    kept, size, digest = b"", 0, hashlib.sha256()
    while chunk := await process.stdout.read(65536):
        kept = (kept + chunk)[-_KEPT_BYTES:]
        size += len(chunk)
        digest.update(chunk)
    said = plain(masked(plain(kept.decode("utf-8", "replace"))))
    if len(said) <= _TOLD and size <= _KEPT_BYTES:
        return said
    return f"…{said[-_TOLD:]} (the end of {size} bytes, SHA-256 {digest.hexdigest()})"


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what still runs, and all that it started."""
    if process.returncode is None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _GRACE_S)
        await process.wait()


def _environment(request: StepRequest) -> dict[str, str]:
    target, by = request.target, "" if request.mark is None else request.mark.by
    about = (request.key, request.run, request.step, target.environment, target.service, by)
    inherited = {k: v for k, v in os.environ.items() if not k.upper().startswith(_OWN)}
    return inherited | dict(zip(VARIABLES, about, strict=True))
