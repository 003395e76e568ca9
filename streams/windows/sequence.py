"""Frames that say which part of their source they hold, so that whatever is emitted again after a crash is recognised."""

from __future__ import annotations

from contracts.ports import Record
from contracts.units import MILLISECOND

NEW_LOG_GAP = 1 << 40


class Sequence:
    """Numbers of frames, taken from the offsets of the source: a frame's number covers everything up to that offset.

    An offset that is not beyond the last means that the log itself is new (the embedded one is, at every start); numbers
    then go on far above the old ones.
    """

    def __init__(self) -> None:
        self.base, self.offset = 0, -1

    @property
    def number(self) -> int:
        """The number of a frame that holds everything up to the last offset."""
        return self.base + self.offset + 1

    def reach(self, offset: int) -> None:
        """The source has come to `offset`."""
        if offset <= self.offset:
            self.base += self.offset + 1 + NEW_LOG_GAP
        self.offset = offset


class CatchUp:
    """Whether records are being read that may have been read before a crash.

    Which records went into one frame depends on when it was flushed, so after a restore a frame could hold some records
    that its receiver has and some that it has not. While records are older than the restore, each gets a frame of its own:
    then every frame is either wholly known to its receiver or wholly new.
    """

    def __init__(self) -> None:
        self._restored = False
        self._until_ms = -1

    def restored(self) -> None:
        """A snapshot was taken over, or a partition whose former owner left none."""
        self._restored = True

    def covers(self, record: Record, now_ns: int) -> bool:
        """Whether `record`, read at `now_ns`, may have been read before."""
        if self._restored:
            self._restored, self._until_ms = False, now_ns // MILLISECOND
        if record.timestamp_ms > self._until_ms:
            self._until_ms = -1
        return self._until_ms >= 0
