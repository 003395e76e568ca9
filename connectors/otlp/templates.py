"""Log templates: a message with its variable parts masked, so that repetitions of one statement are one template.

The masks are the usual preprocessing of log parsers (Drain: He et al., ICWS 2017, section III.A), ordered so that the more
specific comes first. Secrets are masked before everything else (`contracts.secrets`). A source location (`Orders#42`, `pay.py:17`) names the statement and is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from connectors.otlp.identity import hash64
from connectors.otlp.json_model import ERRORS
from connectors.otlp.values import Plain, text_of
from contracts.secrets import MASK, masked, names_secret

MAX_BODY: Final = 4096
"""Characters of a body that are read."""
MAX_TEXT: Final = 1024
"""Characters of a message that count; what follows is mostly a stack trace."""
CACHED_BODIES: Final = 8192
_MESSAGE_KEYS: Final = ("message", "msg", "log", "event", "body")
_LEVEL_KEYS: Final = ("level", "severity", "levelname", "log.level", "lvl")


class LogTemplate(NamedTuple):
    """A masked body, its hash, and the severity its own text claims (0 where it claims none)."""

    hash: int
    text: str
    severity: int


_MASKS: Final = re.compile(
    r"""
    (?P<keep>(?:[A-Za-z_$][\w$]*\.)+[A-Za-z_$][\w$]*\#\d+
        | [\w$-]+\.(?:java|kt|scala|py|go|js|ts|rb|rs|cs|cc|cpp|c|h|php|ex|exs):\d+)
  | (?P<time>\d{4}-\d\d-\d\d(?:[T\ ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?
        | \b\d\d:\d\d:\d\d(?:[.,]\d+)?\b)
  | (?P<uuid>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b)
  | (?P<ip>\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d+)?\b
        | (?<![\w:])(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{1,4}(?![\w:]))
  | (?P<text>"[^"\n]{0,256}" | (?<!\w)'[^'\n]{0,256}'(?!\w))
  | (?P<hex>\b0[xX][0-9a-fA-F]+\b | \b(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}\b)
  | (?P<id>\b(?=(?:[A-Za-z_]*\d){3})[A-Za-z0-9_]{6,}\b(?<=[A-Za-z0-9]))
  | (?P<num>(?<![A-Za-z_])[+-]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?(?:(?:ns|us|µs|ms|s|m|h|B|KB|MB|GB|KiB|MiB|GiB|%)\b)?)
    """,
    re.VERBOSE,
)
_LEVELS: Final = {
    "TRACE": 1,
    "FINEST": 1,
    "VERBOSE": 1,
    "DEBUG": 5,
    "FINE": 5,
    "INFO": 9,
    "INFORMATION": 9,
    "NOTICE": 10,
    "WARN": 13,
    "WARNING": 13,
    "ERROR": 17,
    "ERR": 17,
    "SEVERE": 17,
    "EXCEPTION": 17,
    "FATAL": 21,
    "CRITICAL": 21,
    "CRIT": 21,
    "ALERT": 21,
    "EMERG": 21,
    "EMERGENCY": 21,
    "PANIC": 21,
}
_LEVEL_WORD: Final = re.compile(r"\b(TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|SEVERE|FATAL|CRITICAL|PANIC)\b")
_SEVERITY_NAME: Final = re.compile(r"(?:SEVERITY_NUMBER_)?([A-Z]+)([2-4])?")


@lru_cache(maxsize=CACHED_BODIES)
def template_of(body: str) -> LogTemplate:
    """The template of a body; of a body that is a JSON object, the template of its message."""
    values = _json_object(body) if body.startswith("{") else None
    if values is not None:
        level = next((str(values[k]) for k in _LEVEL_KEYS if k in values), "")
        return _template(message_of(values), severity_of(level[:32]))
    found = _LEVEL_WORD.search(body, 0, 80)
    return _template(body, _LEVELS[found[1]] if found else 0)


def message_of(values: Mapping[str, Plain]) -> str:
    """The message in a structured body; where it has none, its fields in alphabetic order."""
    for key in _MESSAGE_KEYS:
        if isinstance(values.get(key), str) and values[key]:
            return str(values[key])
    return " ".join(f"{k}={MASK if names_secret(k) else text_of(v)}" for k, v in sorted(values.items()))


def _template(message: str, severity: int) -> LogTemplate:
    text = _MASKS.sub(_mask, masked(message[:MAX_BODY])[:MAX_TEXT])
    return LogTemplate(hash64(text), text, severity)


def _json_object(body: str) -> dict[str, Plain] | None:
    try:
        values = msgspec.json.decode(body)
    except ERRORS:
        return None
    return values if isinstance(values, dict) else None


@lru_cache(maxsize=256)
def severity_of(text: str) -> int:
    """SeverityNumber (1 to 24) of a severity's name or text; 0 where it is unknown."""
    found = _SEVERITY_NAME.fullmatch(text.strip().upper())
    if found is None:
        return int(text) if text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= 24 else 0
    level = _LEVELS.get(found[1], 0)
    return level + int(found[2]) - 1 if level and found[2] else level


def _mask(match: re.Match[str]) -> str:
    return match[0] if match.lastgroup == "keep" else f"<{match.lastgroup}>"
