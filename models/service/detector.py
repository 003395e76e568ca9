"""The bank as a detector: frames in, scores out, one `SignalBank` per environment and signal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from contracts.features import Signal
from contracts.frames.features import FeatureFrame
from contracts.frames.telemetry import B1
from contracts.ports.detecting import Scores, SeriesKey, Spoken
from models import snapshots
from models.calibration import LEAST_P
from models.service.alignment import NS, Aligned, Alignment, spread
from models.service.bank import SignalBank
from models.service.columns import columns
from models.service.state import BankState
from models.service.tuning import Tuning

VERSION = 1


class BankDetector:
    """Our own model: every series judged against itself, all of them at once."""

    name = "bank"
    version = f"bank/{VERSION}"

    def __init__(self, warmup: int = 30) -> None:
        self._tuning = Tuning(warmup=warmup)
        self._tracks: dict[tuple[str, str], tuple[Alignment, SignalBank]] = {}

    def update(self, frame: FeatureFrame, learn: B1) -> Scores:
        """Score and learn; a correction (revision > 0, or a window that is past) is scored and not learnt.

        Raises:
            UnknownName: a column that is not a feature.
        """
        alignment, bank = self._track(frame)
        aligned = alignment.align(frame, learn)
        self._fit(bank, alignment, aligned)
        judged = bank.step(aligned.inputs) if aligned.fresh else bank.rescore(aligned.inputs)
        width = len(frame.features)
        warm = judged.warm[aligned.rows]
        decades = spread(judged.decades, aligned, width, 0.0)
        return Scores(
            decades=np.where(warm[:, None], decades, 0.0),
            low=spread(judged.low, aligned, width, np.nan),
            high=spread(judged.high, aligned, width, np.nan),
            p_value=np.where(warm, np.maximum(10.0 ** -judged.joint[aligned.rows], LEAST_P), 1.0),
            warm=warm,
            spoken=_spoken_of(judged.spoken, aligned),
        )

    def rebase(self, series: SeriesKey, levels: Mapping[str, float]) -> dict[str, float]:
        """Take `levels` for what is normal of one series; see the port."""
        track = self._tracks.get((series.environment, series.signal))
        row = track[0].slots.find(series.service, series.peer) if track else None
        return track[1].rebase(row, levels) if track and row is not None and row < len(track[1]) else {}

    def snapshot(self) -> bytes:
        """The whole state."""
        tracks = [
            {
                "environment": environment,
                "alignment": alignment.plain(),
                "width_s": bank.width_s,
                "turn": bank.turn,
                "state": bank.state.plain(),
            }
            for (environment, _), (alignment, bank) in self._tracks.items()
        ]
        return snapshots.save(self.name, VERSION, {"tracks": tracks})

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state."""
        body = snapshots.load(self.name, VERSION, state)
        self._tracks = {}
        for track in body["tracks"]:
            alignment = Alignment.of(track["alignment"])
            bank = SignalBank(columns(alignment.names, alignment.signal), self._tuning, track["width_s"])
            bank.state, bank.turn = BankState.of(track["state"]), track["turn"]
            self._tracks[(track["environment"], alignment.signal.value)] = alignment, bank

    def _track(self, frame: FeatureFrame) -> tuple[Alignment, SignalBank]:
        key = (frame.environment, frame.signal)
        if key not in self._tracks:
            signal = Signal(frame.signal)
            bank = SignalBank(columns((), signal), self._tuning, frame.width_ns / NS)
            self._tracks[key] = Alignment(signal), bank
        return self._tracks[key]

    @staticmethod
    def _fit(bank: SignalBank, alignment: Alignment, aligned: Aligned) -> None:
        """Make the bank's arrays as large as the alignment."""
        if aligned.evicted is not None:
            bank.state.keep(aligned.evicted)
        if aligned.widened is not None:
            bank.widen(columns(alignment.names, alignment.signal), aligned.widened)
        bank.grow(len(alignment.slots))


def _spoken_of(spoken: Mapping[tuple[int, int], Spoken], aligned: Aligned) -> dict[tuple[int, int], Spoken]:
    """What was spoken of the frame's rows and columns, from that of dense ones."""
    if not spoken:
        return {}
    places = {row: i for i, row in enumerate(aligned.rows.tolist())}
    found = ((places.get(row, -1), aligned.columns[column], said) for (row, column), said in spoken.items())
    return {(i, j): said for i, j, said in found if i >= 0 and j >= 0}
