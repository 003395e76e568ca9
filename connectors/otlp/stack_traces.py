"""Stack traces: many lines of one thing that went wrong. Of one record they fold to its head and its causes; lines that came as
records of their own (a container's log is read line by line) belong to the record before.

Frames as the runtimes print them: JVM, .NET, Python, Go, Node, Ruby, PHP, Rust.
"""

from __future__ import annotations

import re
from typing import Final

_FRAME: Final = re.compile(
    r"""
    \s+at\s | \s*File\ "[^"]*",\ line\ \d+ | \s+\.\.\.\ \d+\ (?:more|common\ frames) | \s+from\ \S+:\d+ | \#\d+\s+(?:\S+\(\d+\)|\{main\})
  | \s+\d+:\s+(?:0x[0-9a-f]+\s-\s)?\S | \s+/?\S+\.(?:go|rs|rb|py|js|ts|c|cc|cpp):\d+ | goroutine\ \d+\ \[ | created\ by\ \S+
  | stack\ backtrace: | \s*---\ End\ of\ (?:inner\ exception\ )?stack\ trace
    """,
    re.VERBOSE,
)
_CAUSE: Final = re.compile(
    r"\s*(?:Caused by: |Suppressed: |--->|During handling of the above exception|The above exception was the direct cause)"
)
_RAISED: Final = re.compile(
    r"(?:[A-Za-z_$][\w$]*[.:]{1,2})*[A-Z]\w*(?:Error|Exception|Throwable|Exit|Interrupt|Warning|Panic)\b(?::|\s*$)"
)
_BEGINS: Final = re.compile(r"Traceback \(most recent call last\):|panic: |fatal error: |\[signal ")
_WORDS: Final = ("Traceback (", "panic: ", "fatal error: ", "[signal ")
"""One of these is in what begins one; looking for them is quick."""
_CODE: Final = re.compile(r"[\w$./<>*()-]+\([^)]*\)$")
"""What Go prints before a file: the function."""


def is_frame(line: str) -> bool:
    """Whether a line is a frame, or says of frames that there are more."""
    return _FRAME.match(line) is not None


def continues(line: str, *, tracing: bool, failed: bool) -> bool:
    """Whether a record that is only this line goes on with the stack trace of the record before it. `tracing`: that is in the midst
    of one; `failed`: it told of an error, so that the name of an exception may follow."""
    if is_frame(line) or _CAUSE.match(line):
        return True
    if tracing and (
        not line.strip() or line[:1] in " \t" or _RAISED.match(line) or _CODE.match(line) or _BEGINS.match(line)
    ):
        return True
    return failed and _RAISED.match(line) is not None


def begins(text: str) -> bool:
    """Whether a record is in the midst of a stack trace when it ends."""
    if any(word in text for word in _WORDS) and _BEGINS.search(text) is not None:
        return True
    return is_frame(text.rstrip().rpartition("\n")[2])


def folded(message: str) -> str:
    """A message without the frames of a stack trace, and without what stands between them: its head, the exception, its causes."""
    if "\n" not in message:
        return message
    lines = message.splitlines()
    frames = [i for i, line in enumerate(lines) if is_frame(line)]
    if not frames:
        return message
    last = next((i for i in range(frames[-1] + 1, len(lines)) if lines[i][:1].strip()), None)
    kept = [line for line in lines[: frames[0]] if line.strip()]
    kept += [line for i, line in enumerate(lines) if i > frames[0] and (_CAUSE.match(line) or i == last)]
    return "\n".join(line.strip() for line in kept) or lines[frames[0]].strip()
