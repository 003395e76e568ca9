"""The bank as a detector: frames in, scores out, one `SignalBank` per environment and signal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from contracts.features import Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Scores, SeriesKey, Symptoms
from contracts.units import SECOND
from models import snapshots
from models.judgement import LEAST_P
from models.service import failing
from models.service.alignment import Aligned, Alignment, spread
from models.service.bank import Judgement, SignalBank
from models.service.columns import columns
from models.service.slowness import derived
from models.service.state import BankState
from models.service.tuning import Tuning

VERSION = 2


class BankDetector:
    """Our own model: every series judged against itself, all of them at once."""

    name = "bank"
    version = f"bank/{VERSION}"

    def __init__(self, warmup: int = 30) -> None:
        self._tuning = Tuning(warmup=warmup)
        self._tracks: dict[tuple[str, str], tuple[Alignment, SignalBank]] = {}

    def update(self, frame: FeatureFrame, learn: B1) -> Scores:
        """Score and learn; a correction (revision > 0, or a window that is past for its series) is scored and not learnt.

        Raises:
            UnknownName: a column that is not a feature.
        """
        alignment, bank = self._track(frame)
        aligned = alignment.align(frame, learn)
        self._fit(bank, alignment, aligned)
        judged = _judged(bank, aligned)
        width = len(frame.features)
        warm = judged.warm
        said = warm & aligned.inputs.present
        decades = spread(judged.decades, aligned, width, 0.0)
        return Scores(
            decades=np.where(said[:, None], decades, 0.0),
            low=spread(judged.low, aligned, width, np.nan),
            high=spread(judged.high, aligned, width, np.nan),
            p_value=_p(judged.joint, said),
            symptoms=Symptoms(_p(judged.lasting, said), _p(judged.opening, said)),
            warm=warm,
            spoken={
                (i, aligned.columns[j]): told
                for (i, j), told in judged.spoken.items()
                if said[i] and aligned.columns[j] >= 0
            },
        )

    def rebase(self, series: SeriesKey, levels: Mapping[str, float]) -> dict[str, float]:
        """Take `levels` for what is normal of one series; see the port."""
        track = self._tracks.get((series.environment, series.signal))
        row = track[0].slots.find(series.service, series.peer) if track else None
        return track[1].rebase(row, levels) if track and row is not None and row < len(track[1]) else {}

    def forget(self, environment: str) -> None:
        """The environment is gone."""
        self._tracks = {key: track for key, track in self._tracks.items() if key[0] != environment}

    def snapshot(self) -> bytes:
        """The whole state."""
        tracks = [
            {
                "environment": environment,
                "alignment": alignment.plain(),
                "width_s": bank.width_s,
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
            alignment = Alignment.of(track["alignment"], derived)
            bank = SignalBank(columns(alignment.names, alignment.signal), self._tuning, track["width_s"])
            bank.state = BankState.of(track["state"])
            if "held_s" not in track["state"]:  # of before failures were tested sequentially
                failing.begin_anew(bank.state, bank.columns.ratio)
            self._tracks[(track["environment"], alignment.signal.value)] = alignment, bank

    def _track(self, frame: FeatureFrame) -> tuple[Alignment, SignalBank]:
        key = (frame.environment, frame.signal)
        if key not in self._tracks:
            signal = Signal(frame.signal)
            bank = SignalBank(columns((), signal), self._tuning, frame.width_ns / SECOND)
            self._tracks[key] = Alignment(signal, derived), bank
        return self._tracks[key]

    @staticmethod
    def _fit(bank: SignalBank, alignment: Alignment, aligned: Aligned) -> None:
        """Make the bank's arrays as large as the alignment."""
        if aligned.evicted is not None:
            bank.state.keep(aligned.evicted)
        if aligned.widened is not None:
            bank.widen(columns(alignment.names, alignment.signal), aligned.widened)
        bank.grow(len(alignment.slots))


def _p(decades: F64, said: B1) -> F64:
    found: F64 = np.where(said, np.maximum(10.0**-decades, LEAST_P), 1.0)
    return found


def _judged(bank: SignalBank, aligned: Aligned) -> Judgement:
    """Rows that are news are learnt, the others only scored; in the order of the frame."""
    fresh, inputs, rows = aligned.fresh, aligned.inputs, aligned.rows
    if fresh.all():
        return bank.step(inputs, rows)
    past = bank.rescore(inputs, rows)
    new = np.flatnonzero(fresh)
    if len(new):
        judged = bank.step(inputs.of(new), rows[new])
        for name in ("decades", "low", "high", "joint", "lasting", "opening", "warm"):
            getattr(past, name)[new] = getattr(judged, name)
        past.spoken.update({(int(new[i]), j): said for (i, j), said in judged.spoken.items()})
    return past
