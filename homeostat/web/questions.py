"""Questions to the graph over HTTP, answered in threads of their own: a slow one must not hold up anything else."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from contracts.errors import Retryable
from contracts.ports import GraphStore
from contracts.settings import ApiSettings
from graph.stores.remote import answer, refuse


class Questions:
    """Asks the store, `query_threads` questions at once; `query_queue` more may wait."""

    def __init__(self, settings: ApiSettings) -> None:
        self._rows, self._most = settings.query_rows, settings.query_threads + settings.query_queue
        self._pool = ThreadPoolExecutor(settings.query_threads, "graph-query")
        self._under_way = 0

    async def answer(self, graph: GraphStore, question: bytes) -> tuple[int, list[bytes]]:
        """Status and JSON body, in pieces; 429 where too many wait already."""
        if self._under_way >= self._most:
            _, body = refuse(Retryable(f"{self._under_way} questions wait already", reason="overloaded"))
            return 429, body
        self._under_way += 1
        work = asyncio.get_running_loop().run_in_executor(
            self._pool, partial(answer, graph, question, max_rows=self._rows)
        )
        work.add_done_callback(self._done)  # also where the asker went away: the thread goes on
        return await asyncio.shield(work)

    def close(self) -> None:
        """Take no more; those under way are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, _: object) -> None:
        self._under_way -= 1
