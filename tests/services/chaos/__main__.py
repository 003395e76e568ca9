"""`python -m tests.services.chaos --cycles 200`: the long run. Exit status 1 if anything was lost, doubled or done twice."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.services.chaos.story import Report, Story
from tests.services.servers.kafka import kafka


async def _run(folder: Path, cycles: int, seed: int) -> Report:
    async with kafka(folder / "kafka") as server:
        (folder / "story").mkdir()
        return await Story(server, folder / "story", seed).play(cycles)


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.services.chaos", description=__doc__)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="keep logs and data in this folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="homeostat-chaos-") as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        report = asyncio.run(_run(folder, given.cycles, given.seed))
    sys.stdout.write("\n".join(report.lines()) + "\n")
    for row in report.differing[:40]:
        sys.stdout.write(f"  {row.row}: sent {row.sent}, counted {row.counted}\n")
    for name, text in report.tracebacks.items():
        sys.stdout.write(f"--- {name}\n{text}\n")
    return int(bool(report.differing or report.wrong or report.dead))


if __name__ == "__main__":
    raise SystemExit(main())
