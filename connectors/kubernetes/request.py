"""A request to the API server, and what it is called in messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """`verb` as in RBAC (get, list, watch, patch, create); `body` is sent as `content_type`."""

    verb: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = ""

    @property
    def method(self) -> str:
        """The HTTP method."""
        return {"patch": "PATCH", "create": "POST"}.get(self.verb, "GET")

    @property
    def effect(self) -> bool:
        """Whether it would change something."""
        return self.method != "GET"

    @property
    def text(self) -> str:
        """`list deployments.apps in shop`"""
        return f"{self.verb} {resource_of(self.path)}"


def resource_of(path: str) -> str:
    """The resource that a path is about: `deployments.apps`, `pods in shop`, `deployments.apps cart in shop`."""
    parts = path.strip("/").split("/")
    group = f".{parts[1]}" if parts[0] == "apis" and len(parts) > 1 else ""
    rest = parts[3:] if group else parts[2:]
    where = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        where, rest = f" in {rest[1]}", rest[2:]
    if not rest:
        return path.strip("/")
    return f"{rest[0]}{group}{''.join(f' {part}' for part in rest[1:])}{where}"
