"""The one way to a terminal: nothing that came from telemetry, a cluster or a topic may steer it.

A service name may hold escape sequences (which colour, hide, overwrite, rename the window or answer questions), a carriage return, or
characters that turn the direction of text (https://trojansource.codes). They are shown as what they are, in the form that JSON knows,
so that JSON stays JSON of the same value. A text's further lines are indented where each line is a record, so that none can be made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import click
from rich.console import Console, ConsoleOptions, RenderableType, RenderHook, RenderResult
from rich.segment import Segment

_FURTHER_LINE: Final = re.compile("\n(?!    )")


def printable(text: str) -> str:
    """The text with everything that isn't simply printed shown as `\\uXXXX`, as JSON does; newlines stay."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else _shown(c) for c in text)


def hanging(text: str) -> str:
    """The same of a record: its further lines are indented."""
    return _FURTHER_LINE.sub("\n    ", printable(text))


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text from anywhere."""
    click.echo(printable(text), err=err, nl=nl)


def console(**options: Any) -> Console:
    """A console on which text is neither markup nor anything else than text, unless `options` say otherwise."""
    made = Console(**{"highlight": False, "emoji": False, "markup": False, **options})
    made.push_render_hook(_Printable())
    return made


class _Printable(RenderHook):
    """Makes everything that is printed printable; colours are the console's own."""

    def process_renderables(self, renderables: list[Any]) -> list[Any]:
        """See `RenderHook`."""
        return [_Segments(r) for r in renderables]


class _Segments:
    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, made: Console, options: ConsoleOptions) -> RenderResult:
        """The segments of what it stands for, each printable."""
        found: Iterable[Segment] = made.render(self._renderable, options)
        for segment in found:
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def _shown(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
