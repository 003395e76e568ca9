"""Text from elsewhere, made fit to be kept and shown: no secrets, nothing that a terminal obeys, and not more than is read.

What a program printed, an API answered or telemetry said is evidence, not ours: it may hold passwords, escape sequences and
megabytes. The audit trail is for ever, so what goes in there is masked before, not when it is shown.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

MASK: Final = "***"
_LIMIT: Final = 500

_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI (ECMA-48, 5.4)
    r"|\x1b[\]PX^_].*?(?:\x1b\\|\x07|$)"  # OSC, DCS, SOS, PM, APC, to their end
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
_NAMES: Final = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|api[-_.]?key|access[-_.]?key(?:[-_.]?id)?|private[-_.]?key|"
    r"client[-_.]?secret|session[-_.]?(?:id|key)|cookie|set-cookie|x-api-key|signature|sig"
)
_SECRETS: Final = (
    (re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*-----|$)", re.DOTALL), MASK),
    (re.compile(r"(?i)\b(authorization\W{1,4})(?:(bearer|basic|digest|token)\s+)?[^\s,;\"']+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/._~=-]{8,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]+@"), rf"\1{MASK}@"),
    (
        re.compile(
            rf"(?i)((?:\b|_|--)(?:[\w-]*[_-])?(?:{_NAMES})[\"']?\s*(?:=>|:=|[=:])\s*)(?:\"[^\"]*\"?|'[^']*'?|[^\s,;&\"'}}\])]+)"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(rf"(?i)(--?(?:[\w-]*-)?(?:{_NAMES})\s+)(?!-)\S+"), rf"\1{MASK}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"), MASK),  # JSON Web Tokens (RFC 7519)
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), MASK),
    (re.compile(r"\b(?:gh[pousr]|glpat|xox[abprs]|sk)[-_][A-Za-z0-9_-]{16,}"), MASK),
)


def masked(text: str) -> str:
    """The text without what looks like a secret. Better one word too many than one too few."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def plain(text: str) -> str:
    """The text in one line, without anything that a terminal would obey, or by which it shows another text than there is
    (Unicode Technical Report 36, 2.10)."""
    return "".join(c if c.isprintable() else " " for c in _ESCAPES.sub("", text)).strip()


def told(text: str, limit: int = _LIMIT) -> str:
    """The text fit to be kept: plain, masked, and its end only where it is longer than `limit`, with a digest of the whole."""
    short = plain(masked(plain(text)))
    if len(short) <= limit:
        return short
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"[{len(text)} characters, SHA-256 {digest}…] …{short[-limit:]}"
