"""Log templates: a message with its variable parts masked, so that repetitions of one statement are one template.

The masks are the usual preprocessing of log parsers (Drain: He et al., ICWS 2017, section III.A), ordered so that the more specific comes
first. A template is a function of its record alone: each worker finds the same one, in whatever order records come, where Drain's tree
depends on what it has seen before; words that vary and have no form are told apart later, where the records of a service come together
(`streams.windows.log_groups`). Secrets are masked before everything else (`contracts.secrets`). A source location (`Orders#42`,
`pay.py:17`) names the statement and is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from connectors.otlp.failures import FailureJudge
from connectors.otlp.identity import hash64
from connectors.otlp.log_bodies import ERROR, Said, said_by, said_in
from connectors.otlp.stack_traces import begins, folded
from connectors.otlp.values import Plain
from contracts.secrets import masked

MAX_BODY: Final = 4096
"""Characters of a body that are read."""
MAX_TEXT: Final = 1024
"""Characters of a message that count."""
MAX_JSON: Final = 65_536
"""Characters of a structured body that are read: a stack trace in it makes it long."""
CACHED_BODIES: Final = 8192


class LogTemplate(NamedTuple):
    """A masked body, its hash, and what its own text claims: the severity, the low halves of the ids of a trace and a span (0 where
    it claims none), and whether it ends in the midst of a stack trace."""

    hash: int
    text: str
    severity: int
    trace: int = 0
    span: int = 0
    tracing: bool = False


_MASKS: Final = re.compile(
    r"""
    (?P<keep>(?:[A-Za-z_$][\w$]*\.)+[A-Za-z_$][\w$]*\#\d+
        | [\w$-]+\.(?:java|kt|scala|py|go|js|ts|rb|rs|cs|cc|cpp|c|h|php|ex|exs):\d+)
  | (?P<time>\d{4}-\d\d-\d\d(?:[T\ ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?
        | \b\d\d:\d\d:\d\d(?:[.,]\d+)?\b)
  | (?P<uuid>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b)
  | (?P<url>\b[a-z][a-z0-9+.-]{1,15}://[^\s"'<>\])}]+)
  | (?P<email>(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}\b)
  | (?P<ip>\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d+)?\b
        | (?<![\w:])(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{1,4}(?![\w:]))
  | (?P<host>(?<![\w.-])(?:[a-z0-9][a-z0-9-]{0,62}\.){1,8}(?:svc(?:\.cluster\.local)?|cluster\.local|local|internal|com|net|example)\b(?![.\w])(?::\d+)?)
  | (?P<path>(?<![\w.:/])/(?:[\w.@+-]{1,64}/){0,16}[\w@+-]{1,64}(?:\.[A-Za-z]\w{0,9}){1,3}\b(?![/\w]))
  | (?P<text>"[^"\n]{0,256}" | (?<!\w)'[^'\n]{0,256}'(?!\w))
  | (?P<hex>\b0[xX][0-9a-fA-F]+\b | \b(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}\b)
  | (?P<id>\b(?!\d+(?:ns|us|ms|s|m|h|B|KB|MB|GB|KiB|MiB|GiB)\b)(?=(?:[A-Za-z_]*\d){3})(?=\d*[A-Za-z_])[A-Za-z0-9_]{6,}\b(?<=[A-Za-z0-9]))
  | (?P<num>(?<![A-Za-z_])[+-]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?(?:(?:(?:h\d+)?m\d+(?:\.\d+)?s|ns|us|µs|ms|s|m|h|B|KB|MB|GB|KiB|MiB|GiB|%)\b|\ (?:bytes|kB|KB|MB|GB|TB|KiB|MiB|GiB)\b)?)
    """,
    re.VERBOSE,
)
_LIST: Final = re.compile(r"<num>(?:,\ ?<num>)+")
"""Lists of numbers are of any length."""


def template_of(body: str) -> LogTemplate:
    """The template of a text; of one that is structured, the template of its message."""
    return _short_template(body) if len(body) <= MAX_BODY else _template(said_in(body[:MAX_JSON]))


def template_of_map(values: Mapping[str, Plain]) -> LogTemplate:
    """The template of a body that is a map: that of its message; where it has none, of its fields in alphabetic order."""
    return _template(said_by(values))


def template_of_attributes(values: Mapping[str, Plain], body: LogTemplate, judge: FailureJudge) -> LogTemplate:
    """The template of a record whose body leaves something open: what its attributes say of severity, trace and span; of one without a
    body also the message."""
    said = said_by(values)
    severity = body.severity or said.severity or (ERROR if judge.failed(values, codes=True) else 0)
    found = body if body.text else _template(said)
    return found._replace(severity=severity, trace=body.trace or said.trace, span=body.span or said.span)


@lru_cache(maxsize=CACHED_BODIES)
def _short_template(body: str) -> LogTemplate:
    return _template(said_in(body))


def _template(said: Said) -> LogTemplate:
    message = masked(said.message[:MAX_BODY])
    text = _MASKS.sub(_mask, folded(message)[:MAX_TEXT])
    if ", <num>" in text or ",<num>" in text:
        text = _LIST.sub("<num>", text)
    tracing = begins(message)
    return LogTemplate(hash64(text), text, said.severity or (ERROR if tracing else 0), said.trace, said.span, tracing)


def _mask(match: re.Match[str]) -> str:
    return match[0] if match.lastgroup == "keep" else f"<{match.lastgroup}>"
