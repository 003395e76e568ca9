"""How often services wrote which log templates: the last windows, and before them which templates keep step with which.

Counts are looked at in blocks of windows, as the records of one request may fall into two. What leaves the ring is folded, decayed, into
the sums that a regression of one template on another through zero needs. Time that belongs to an open incident is not folded; a new
version writes what it likes, so what is usual begins anew with it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.features import Signal
from contracts.frames import EvidenceFrame
from graph.evidence.missing_logs import TemplateSums, missing_template
from graph.evidence.situation import MissingTemplate
from graph.judgement import DECAY, MISSING_LEAST, MISSING_SHARE
from graph.world.series import NEVER

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

BLOCK: Final = 10
"""Windows that are counted together."""
BLOCKS: Final = 12
"""Blocks that are kept as they came."""
SLOTS: Final = 32
"""Of one service the requests it served, and its templates; of more those that came most often."""
REQUESTS: Final = 0
"""The slot of requests."""
MOST_SERVICES: Final = 2_000
"""Services that are followed, 13 kB each: the first that write."""
_RARE: Final = 8.0
"""A template that came less often gives its place to a new one."""
_MOST: Final = np.iinfo(np.uint16).max


class TemplateStore:
    """Rings of the counts of templates, by service and slot."""

    def __init__(self) -> None:
        self.width_ns = 0
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        self.slots: list[dict[int, int]] = []
        """By service, the slot of each template, from 1 on."""
        self.texts: list[dict[int, str]] = []
        self.versions: list[str] = []
        self.block = np.full(BLOCKS, -1, np.int64)
        self.allocate(0)

    def allocate(self, rows: int) -> None:
        """Begin with empty arrays for so many services."""
        self.counts: NDArray[np.uint16] = np.zeros((rows, BLOCKS, BLOCK, SLOTS), np.uint16)
        self.known: NDArray[np.bool_] = np.zeros((rows, BLOCKS, BLOCK), np.bool_)
        """Of which windows something was told, if only that nothing was written."""
        self.sums: NDArray[np.float32] = np.zeros((rows, BLOCKS, SLOTS), np.float32)
        """Of `counts`, by block."""
        self.total: F64 = np.zeros((rows, SLOTS))
        self.products: NDArray[np.float32] = np.zeros((rows, SLOTS, SLOTS), np.float32)
        self.windows: F64 = np.zeros(rows)
        """Of what left the ring, decayed: records, products and windows."""
        self.first: I64 = np.zeros(rows, np.int64)
        """The first window of the present version."""
        self.frozen: I64 = np.full(rows, NEVER, np.int64)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The arrays that grow with the services, by attribute name."""
        names = ("counts", "known", "sums", "total", "products", "windows", "first", "frozen")
        return {n: getattr(self, n) for n in names}

    def take(self, frame: EvidenceFrame) -> None:
        """Write a frame's counts into their window: of logs their templates, of spans the requests. A row that comes again replaces what it
        said."""
        if frame.signal == Signal.LOGS:
            self._take_logs(frame)
        elif frame.signal == Signal.SPANS:
            self._take_requests(frame)

    def _take_logs(self, frame: EvidenceFrame) -> None:
        self.width_ns = self.width_ns or frame.width_ns
        window = frame.window_ns // self.width_ns
        place, at = self._opened(window)
        if place < 0:
            return
        missing, writes = frame.missing, set(frame.template_row.tolist())
        rows = [-1 if missing[i] else self._row(n, i in writes) for i, n in enumerate(frame.services)]
        for i, row in enumerate(rows):
            if row >= 0:
                self.counts[row, place, at, 1:], self.known[row, place, at] = 0, True
                if frame.versions and frame.versions[i] and frame.versions[i] != self.versions[row]:
                    self._renew(row, frame.versions[i], window)
        told = (frame.template_row, frame.template_hash, frame.template_count)
        for i, template, count, text in zip(*(c.tolist() for c in told), frame.template_text, strict=True):
            slot = self._slot(rows[i], template) if rows[i] >= 0 else -1
            if slot >= 0:
                self.counts[rows[i], place, at, slot] = min(count, _MOST)
                if text:
                    self.texts[rows[i]][template] = text
        self._sum([row for row in rows if row >= 0], place)

    def _take_requests(self, frame: EvidenceFrame) -> None:
        if not self.width_ns or frame.width_ns != self.width_ns:
            return
        place, at = self._opened(frame.window_ns // self.width_ns)
        if place < 0:
            return
        rows = np.array([self.index.get(n, -1) for n in frame.services], np.int64)
        here = np.flatnonzero((rows >= 0) & ~frame.missing)
        self.counts[rows[here], place, at, REQUESTS] = np.minimum(frame.counts[here], _MOST)

    def _sum(self, rows: list[int], place: int) -> None:
        self.sums[rows, place] = self.counts[rows, place].sum(axis=1, dtype=np.float32)

    def _row(self, name: str, writes: bool) -> int:
        row = self.index.get(name)
        if row is None:
            if not writes or len(self.names) >= MOST_SERVICES:
                return -1
            row = self.index[name] = len(self.names)
            self.names.append(name)
            self.slots.append({})
            self.texts.append({})
            self.versions.append("")
            if row >= len(self.first):
                self._keep(np.arange(row), max(16, 2 * row))
        return row

    def _renew(self, row: int, version: str, window: int) -> None:
        """A new version: what is usual of it is not known."""
        if self.versions[row]:
            self.first[row] = window
            self.total[row], self.products[row], self.windows[row] = 0.0, 0.0, 0.0
        self.versions[row] = version

    def _slot(self, row: int, template: int) -> int:
        mine = self.slots[row]
        slot = mine.get(template)
        if slot is None and len(mine) < SLOTS - 1:
            slot = mine[template] = 1 + len(mine)
        if slot is None:
            came = self.total[row] + self.sums[row].sum(axis=0)
            slot = 1 + int(came[1:].argmin())
            if came[slot] >= _RARE:
                return -1
            old = next(t for t, s in mine.items() if s == slot)
            del mine[old]
            self.texts[row].pop(old, None)
            mine[template] = slot
            self.counts[row, :, :, slot], self.sums[row, :, slot] = 0, 0.0
            self.total[row, slot] = 0.0
            self.products[row, slot], self.products[row, :, slot] = 0.0, 0.0
        return slot

    def _opened(self, window: int) -> tuple[int, int]:
        """Where a window is in the ring: its block, and its place there; -1 for the block of one that is too old."""
        block, at = divmod(window, BLOCK)
        if block <= self.block.max() - BLOCKS:
            return -1, at
        place = block % BLOCKS
        if self.block[place] != block:
            if self.block[place] >= 0:
                self._fold(place)
            self.block[place] = block
            self.counts[:, place], self.known[:, place], self.sums[:, place] = 0, False, 0.0
        return place, at

    def _fold(self, at: int) -> None:
        window = self.block[at] * BLOCK + np.arange(BLOCK)
        learnt = self.known[:, at] & (window >= self.first[:, None]) & (window < self.frozen[:, None])
        some = np.flatnonzero(learnt.any(axis=1))
        if not len(some):
            return
        sums = (self.counts[some, at] * learnt[some, :, None]).sum(axis=1, dtype=np.float64)
        decay = DECAY**BLOCK
        self.total[some] = decay * self.total[some] + sums
        self.products[some] = decay * self.products[some] + sums[:, :, None] * sums[:, None, :]
        self.windows[some] = decay * self.windows[some] + learnt[some].sum(axis=1)

    def missing(self, names: Iterable[str], onset: int, otherwise: Container[str] = ()) -> dict[str, MissingTemplate]:
        """Of these services, those of which a template is missing since window `onset`, and which. Those that are asked `otherwise` than before
        owe none by the number of their requests."""
        looked = {n: self.since(n, onset) for n in self.fallen(names, onset)}
        found = {
            n: missing_template(sums, by_requests=n not in otherwise) for n, sums in looked.items() if sums is not None
        }
        return {n: m for n, m in found.items() if m is not None}

    def fallen(self, names: Iterable[str], onset: int, lead: int = 2) -> list[str]:
        """Those of whom some template comes less often since `onset` than in the whole blocks before: the others need no closer look."""
        known = [n for n in names if n in self.index]
        rows = np.array([self.index[n] for n in known], np.int64)
        begins, ends = self.block * BLOCK, self.block * BLOCK + BLOCK
        usual = (self.block >= 0) & (ends <= onset - lead)
        usual = usual & (begins >= self.first[rows, None]) & (ends <= self.frozen[rows, None])
        before = self.total[rows] + (self.sums[rows] * usual[..., None]).sum(axis=1)
        told = self.windows[rows] + BLOCK * usual.sum(axis=1)
        late = np.flatnonzero(ends > onset)
        window = begins[late, None] + np.arange(BLOCK)
        after = self.known[rows][:, late] & (window >= onset)
        since = (self.counts[rows][:, late] * after[..., None]).sum(axis=(1, 2), dtype=np.float64)
        due = before / np.maximum(told, 1.0)[:, None] * after.sum(axis=(1, 2))[:, None]
        fell = ((before >= MISSING_LEAST) & (since < (1 - MISSING_SHARE) * due))[:, REQUESTS + 1 :].any(axis=1)
        return [known[i] for i in np.flatnonzero(fell).tolist()]

    def since(self, name: str, onset: int, lead: int = 2) -> TemplateSums | None:
        """What a service wrote before window `onset - lead`, and from `onset` on; None of one that wrote nothing."""
        row = self.index.get(name)
        if row is None or not self.slots[row]:
            return None
        n = 1 + len(self.slots[row])
        window = self.block[:, None] * BLOCK + np.arange(BLOCK)
        usual = self.known[row] & (window >= self.first[row]) & (window < min(onset - lead, int(self.frozen[row])))
        after = self.known[row] & (window >= onset)
        counts = self.counts[row, :, :, :n].astype(np.float64)
        blocks = (counts * usual[..., None]).sum(axis=1)
        texts = {slot: self.texts[row].get(template, "") for template, slot in self.slots[row].items()}
        texts[REQUESTS] = ""
        return TemplateSums(
            self.total[row, :n] + blocks.sum(axis=0),
            self.products[row, :n, :n] + blocks.T @ blocks,
            (counts * after[..., None]).sum(axis=(0, 1)),
            (float(self.windows[row] + usual.sum()), float(after.sum())),
            tuple(texts[slot] for slot in range(n)),
        )

    def freeze(self, names: Iterable[str], window: int) -> None:
        """From this window on, these services don't teach what is usual."""
        for row in self._rows(names):
            self.frozen[row] = min(int(self.frozen[row]), window)

    def thaw(self, names: Iterable[str]) -> None:
        """These services teach again, from now on; what was seen while frozen is forgotten (unknown, not zero)."""
        window = self.block[:, None] * BLOCK + np.arange(BLOCK)
        for row in self._rows(names):
            hidden = window >= self.frozen[row]
            self.counts[row, hidden], self.known[row, hidden] = 0, False
            self.sums[row] = self.counts[row].sum(axis=1, dtype=np.float32)
            self.frozen[row] = NEVER

    def _rows(self, names: Iterable[str]) -> list[int]:
        return [self.index[n] for n in names if n in self.index]

    def forget(self, names: set[str]) -> None:
        """Services that left."""
        kept = [i for i, name in enumerate(self.names) if name not in names]
        if len(kept) == len(self.names):
            return
        for attribute in ("names", "slots", "texts", "versions"):
            of = getattr(self, attribute)
            setattr(self, attribute, [of[i] for i in kept])
        self.index = {name: i for i, name in enumerate(self.names)}
        self._keep(np.array(kept, np.int64), max(16, len(kept)))

    def _keep(self, rows: I64, room: int) -> None:
        old = self.columns()
        self.allocate(room)
        for name, array in old.items():
            getattr(self, name)[: len(rows)] = array[rows]
