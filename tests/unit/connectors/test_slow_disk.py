"""A disk that takes a second for each sync: the event loop never waits for it, and nothing is called durable before it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import LONG_S

SLOW_S = 1.0
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static int slowly(const char *name, int fd) {
    struct timespec wait = {1, 0};
    const char *by = syscall(SYS_gettid) == getpid() ? "loop\n" : "thread\n";
    if (write(2, by, by[0] == 'l' ? 5 : 7) < 0) return -1;
    nanosleep(&wait, 0);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return slowly("fsync", fd); }
int fdatasync(int fd) { return slowly("fdatasync", fd); }
"""
LIFE = """
import asyncio, json, os, sys, time
from pathlib import Path
from connectors.journal.sqlite import SqliteJournal
from connectors.state.sqlite import SqliteStateStore
from contracts.ports import StepEntry
from contracts.verdicts import RunState, StepPhase

folder = Path(sys.argv[1])

async def main() -> None:
    journal, state = SqliteJournal(folder / "journal.sqlite"), SqliteStateStore(folder / "state.sqlite")
    durable = []
    os.write(2, b"open\\n")
    for n in range(3):
        run = f"r{n}"
        entry = journal.create(run=run, decision=f"d{n}", environment="e", target="t", playbook="p", definition={}, now_ns=1)
        journal.step(StepEntry(run, "s", StepPhase.INTENT, f"{run}/s/1", 1, {}), entry.fence)
        journal.put(f"identity/{run}", {"filler": "x" * 3_000_000})  # the second one makes the log so long that it is put away
        begun = time.monotonic()
        await journal.settled("e", 60)
        durable.append(time.monotonic() - begun)
        journal.set_state(run, entry.fence, RunState.SUCCEEDED, 2)
        journal.load(run), journal.facts("identity/"), journal.history("e"), journal.open_runs()
        journal.append_audit("e", b"{}", n + 1)
        await state.save("k", b"v" * 1000)
        assert await state.load("k")
    os.write(2, b"over\\n")
    await state.close()
    await asyncio.to_thread(journal.close)
    print(json.dumps({"durable": durable}))

asyncio.run(main())
"""


@pytest.mark.timeout(LONG_S)
def test_the_loop_does_not_wait_for_a_slow_disk(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler, and a loader that preloads")
    source, shim = tmp_path / "slow.c", tmp_path / "slow.so"
    source.write_text(SHIM, "utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    told = subprocess.run(
        [sys.executable, "-c", LIFE, str(tmp_path)],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        check=True,
        capture_output=True,
        text=True,
        timeout=LONG_S,
    )
    found = json.loads(told.stdout)
    assert min(found["durable"]) >= SLOW_S  # the shim is in place, and what is settled is on disk
    syncs = told.stderr.partition("open\n")[2].partition("over\n")[0].split()
    assert "thread" in syncs
    assert "loop" not in syncs, "the event loop's own thread waited for the disk"
