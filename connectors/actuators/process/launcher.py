"""Run as a script: become the given command, as a process that dies with the manager. Imports nothing of Homeostat.

`launcher.py MANAGER_PID COMMAND ARGUMENT…`. On Linux the kernel kills the process when the thread that started it ends,
even by SIGKILL (prctl(2), PR_SET_PDEATHSIG). A launcher rather than a `preexec_fn`, which may deadlock in a process with threads.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_FOUND = 127


def main() -> None:
    """Replace this process by the command."""
    manager, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != manager:  # it ended before prctl took effect
            sys.exit(NOT_FOUND)
    try:
        os.execvp(command[0], command)  # noqa: S606 - an argument vector from the operator's own settings
    except OSError as e:
        sys.exit(f"can't run {command[0]}: {e.strerror}")


main()
