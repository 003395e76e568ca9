"""Which series of one environment there are, by row, and who leaves where there are too many.

A series is silent once nothing has come of it for many of its usual gaps. One that is silent leaves before any that is heard of
(`contracts.capacity`), so names that are made up without end, and hosts that are gone for good, displace each other and nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from contracts.capacity import AGAIN_NS, MERIT_NS, leaving, surplus
from contracts.frames.decoded import I64

_NEVER: Final = np.iinfo(np.int64).max


class SeriesRoster:
    """At most `most` series. Rows are numbered without gaps; those of the ones that stay move up where others leave."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.names: list[str] = []
        """Of each row."""
        self._rows: dict[str, int] = {}
        self._first_ns: list[int] = []
        self._heard_ns: list[int] = []
        """When something came of each row, by the clock of who reads it: what senders say of time keeps nobody here."""
        self._looked_ns = 0

    def __len__(self) -> int:
        return len(self.names)

    def row(self, name: str) -> int | None:
        """The row of a series; None: it is not known."""
        return self._rows.get(name)

    def hear(self, names: Iterable[str], now_ns: int) -> int:
        """Something came of series; how many of them are not known."""
        unknown = 0
        for name in names:
            row = self._rows.get(name)
            if row is None:
                unknown += 1
            else:
                self._heard_ns[row] = now_ns
        return unknown

    def enrol(self, name: str, now_ns: int) -> int | None:
        """A row for a series that is not known; None: there is no room."""
        if len(self.names) >= self.most:
            return None
        row = self._rows[name] = len(self.names)
        self.names.append(name)
        self._first_ns.append(now_ns)
        self._heard_ns.append(now_ns)
        return row

    def is_crowded(self, newcomers: int, now_ns: int) -> bool:
        """Whether some should leave, as `newcomers` want to be let in; asked anew every `AGAIN_NS`, as finding out who takes time."""
        if not surplus(len(self.names) + newcomers, self.most) or abs(now_ns - self._looked_ns) < AGAIN_NS:
            return False
        self._looked_ns = now_ns
        return True

    def staying(self, newcomers: int, now_ns: int, silent_ns: I64, kept: Iterable[int]) -> I64:
        """The rows that stay: all but the least useful of those of which nothing has come for their `silent_ns` and that are not `kept`."""
        wanted = surplus(len(self.names) + newcomers, self.most)
        heard = np.minimum(np.array(self._heard_ns, np.int64), now_ns)  # a clock that was set back keeps nobody
        heard[list(kept)] = _NEVER
        gone = leaving(
            np.minimum(np.array(self._first_ns, np.int64), heard), heard, now_ns - silent_ns, MERIT_NS, wanted
        )
        return np.delete(np.arange(len(self.names)), gone)

    def keep(self, rows: I64) -> None:
        """All others leave."""
        self._take([[self.names[i], self._first_ns[i], self._heard_ns[i]] for i in rows.tolist()])

    def _take(self, known: list[list[Any]]) -> None:
        self.names, self._first_ns, self._heard_ns = ([one[i] for one in known] for i in range(3))
        self._rows = {name: row for row, name in enumerate(self.names)}

    def state(self) -> list[list[int]]:
        """When each row was heard of, for a snapshot beside the names."""
        return [self._first_ns, self._heard_ns]

    def load(self, names: list[str], times: list[list[int]]) -> None:
        """Take the state of a snapshot.

        Raises:
            ValueError: there are not as many times as names.
        """
        self._take([list(one) for one in zip(names, *times, strict=True)])
