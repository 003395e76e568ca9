"""Names in paths: the one place where what telemetry or a server calls something is checked and quoted for a URL.

A name is checked *and* quoted. Either would do; both hold when one of them is wrong.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from contracts.errors import InvalidTarget

_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL.pattern}(?:\.{_LABEL.pattern})*")
_PLAIN: Final = re.compile(r"(?i)(?:/(?!\.{1,2}(?:/|\Z))(?:[a-z0-9._~-]|%(?!2e)[0-9a-f]{2})+)+")
_SHOWN: Final = 80


def label(name: str, what: str) -> str:
    """The name, if it is a DNS label (RFC 1123), as of a Kubernetes namespace. Raises InvalidTarget, with `what` it is of."""
    return _matching(_LABEL, name, what)


def subdomain(name: str, what: str) -> str:
    """The name, if it is a DNS subdomain (RFC 1123), as of most Kubernetes objects. Raises InvalidTarget."""
    return _matching(_SUBDOMAIN, name, what)


def is_subdomain(name: str) -> bool:
    """Whether it could be the name of a Kubernetes object."""
    return _SUBDOMAIN.fullmatch(name) is not None


def segment(name: str) -> str:
    """One segment of a path, quoted. Raises InvalidTarget for what no quoting keeps in its place: ``, `.` and `..`."""
    if name in {"", ".", ".."}:
        raise InvalidTarget(f"{name!r} can't be a part of a path")
    return quote(name, safe="")


def path(*names: str) -> str:
    """An absolute path of such segments."""
    return "".join(f"/{segment(name)}" for name in names)


def plain(text: str) -> str:
    """A path as `path` makes them; InvalidTarget for any other, before it is sent to anybody."""
    if _PLAIN.fullmatch(text) is None:
        raise InvalidTarget(f"{shown(text)} is no plain path")
    return text


def shown(name: str) -> str:
    """A name that may be anything, for a message."""
    return ascii(name if len(name) <= _SHOWN else name[:_SHOWN] + "…")


def _matching(pattern: re.Pattern[str], name: str, what: str) -> str:
    if pattern.fullmatch(name) is None:
        raise InvalidTarget(
            f"{shown(name)} can't be the name of a {what}", fix="telemetry gives it wrong, or is forged"
        )
    return name
