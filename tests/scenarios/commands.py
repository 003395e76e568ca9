"""Several commands of `homeostat` in one process: `python -m tests.scenarios.commands`.

Reads a JSON list of [environment variables to add, arguments], and prints one of [status, output, errors].
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys

from homeostat.cli import main


def command(arguments: list[str]) -> tuple[int, str, str]:
    """What a command with these arguments says, and its exit status."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    sys.argv = ["homeostat", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as e:
            status = int(e.code or 0)
    return status, out.getvalue(), err.getvalue()


if __name__ == "__main__":
    found = []
    for added, arguments in json.loads(sys.stdin.read()):
        os.environ |= added
        found.append(command(arguments))
    print(json.dumps(found))
