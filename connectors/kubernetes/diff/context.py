"""What all comparisons need to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.events import Change

MANAGER: Final = "homeostat"
"""Our field manager: what managedFields calls us."""


@dataclass(frozen=True, slots=True)
class DiffContext:
    """The environment, and the time that is taken where the API server tells none (epoch nanoseconds)."""

    environment: str
    now_ns: int

    def change(
        self,
        service: str,
        kind: str,
        text: str,
        *,
        time_ns: int = 0,
        actor: str = "",
        levels: tuple[str, str] = ("", ""),
        subject: str = "",
    ) -> Change:
        """A change event; `levels` are before and after. A time that is unknown, or from the future, becomes now."""
        time = time_ns if 0 < time_ns <= self.now_ns else self.now_ns
        return Change(
            environment=self.environment,
            service=service,
            kind=kind,
            time_ns=time,
            actor=actor,
            before=levels[0],
            after=levels[1],
            text=text,
            subject=subject,
        )


def ours(manager: str) -> bool:
    """Whether a field manager is Homeostat itself, whose executor tells what it does."""
    return manager == MANAGER or manager.startswith(f"{MANAGER}-")
