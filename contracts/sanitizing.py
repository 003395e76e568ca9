"""Text from elsewhere, made fit to be kept and shown: no secrets, nothing that a terminal obeys, and not more than is read.

What a program printed, an API answered or telemetry said is evidence, not ours: it may hold passwords, escape sequences and
megabytes. The audit trail is for ever, so what goes in there is masked before, not when it is shown.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from contracts.secrets import masked

_LIMIT: Final = 500

_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI (ECMA-48, 5.4)
    r"|\x1b[\]PX^_].*?(?:\x1b\\|\x07|$)"  # OSC, DCS, SOS, PM, APC, to their end
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)


def plain(text: str) -> str:
    """The text in one line, without anything that a terminal would obey, or by which it shows another text than there is
    (Unicode Technical Report 36, 2.10)."""
    return "".join(c if c.isprintable() else " " for c in _ESCAPES.sub("", text)).strip()


def sanitized(text: str, limit: int = _LIMIT) -> str:
    """The text fit to be kept: plain, masked (`contracts.secrets`), and its end only where it is longer than `limit`, with a digest of the whole."""
    short = plain(masked(plain(text)))
    if len(short) <= limit:
        return short
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"[{len(text)} characters, SHA-256 {digest}…] …{short[-limit:]}"
