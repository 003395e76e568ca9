"""The demo's customers, of a shop in a cluster: `python -m tests.services.repair.customers DIRECTORY`.

Open-loop requests, round robin over the pods that are Ready; what they went through on standard output, one JSON line a second.
On standard input: `rate ROUTE PER_SECOND`. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys

from homeostat.demo.load import Customers
from tests.services.repair.shop import RATES


async def main(directory: str) -> None:
    """Shop until standard input ends."""
    customers = Customers(directory)
    customers.rates = dict(RATES)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    shopping = asyncio.create_task(customers.run())
    while line := await reader.readline():
        await customers.obey(line.decode())
    shopping.cancel()
    await asyncio.gather(shopping, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
