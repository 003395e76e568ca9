"""Every event and frame version stays readable: the bytes written by the version that introduced it are kept here.

After a deliberate, additive change: `HOMEOSTAT_WRITE_GOLDEN=1 pytest tests/unit/contracts`. A file of an older version is
never rewritten.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import events as e
from contracts import frames as f
from contracts.errors import UnreadableEvent
from tests.unit.contracts.samples import EVENTS, FRAMES

GOLDEN = Path(__file__).parents[2] / "golden"


def _golden(path: Path, payload: bytes) -> bytes:
    if os.environ.get("HOMEOSTAT_WRITE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)
    return path.read_bytes()


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_event_bytes_are_stable_and_readable(name: str) -> None:
    event = EVENTS[name]
    kept = _golden(GOLDEN / "events" / f"{name}.v{type(event).VERSION}.json", e.encode(event))
    assert e.decode(type(event), kept) == event
    assert e.encode(event) == kept


def test_every_event_has_a_sample() -> None:
    kinds = {k.__name__ for k in e.Event.__subclasses__() if k.__module__.startswith("contracts.")}
    assert kinds == set(EVENTS)


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_frame_bytes_are_stable_and_readable(name: str) -> None:
    frame = FRAMES[name]
    kept = _golden(GOLDEN / "frames" / f"{name}.v{type(frame).VERSION}.msgpack", f.pack(frame))
    assert f.pack(frame) == kept
    found = f.unpack(type(frame), kept)
    for field in dataclasses.fields(frame):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(frame, field.name))


@pytest.mark.parametrize("path", sorted((GOLDEN / "frames").iterdir()), ids=lambda p: p.name)
def test_frames_of_every_version_are_readable(path: Path) -> None:
    name = path.name.split(".")[0]
    found = f.unpack(type(FRAMES[name]), path.read_bytes())
    assert dataclasses.asdict(found).keys() == dataclasses.asdict(FRAMES[name]).keys()


def test_rows_of_a_frame_from_before_presence_are_observed() -> None:
    for kind in (f.FeatureFrame, f.EvidenceFrame):
        found = f.unpack(kind, (GOLDEN / "frames" / f"{kind.__name__}.v1.msgpack").read_bytes())
        assert len(found.services) > 0
        assert found.missing.tolist() == [False] * len(found.services)


def test_an_anomaly_from_before_it_had_a_kind_is_about_a_service() -> None:
    kept = e.encode(EVENTS["Anomaly"]).replace(b',"kind":"service"', b"")
    assert b"kind" not in kept
    assert e.decode(e.Anomaly, kept) == EVENTS["Anomaly"]


def test_an_incident_from_before_it_had_gaps_has_none() -> None:
    incident = EVENTS["Incident"]
    assert isinstance(incident, e.Incident)
    kept = e.encode(incident)
    old = kept[: kept.index(b',"gaps"')] + b"}"
    assert e.decode(e.Incident, old) == msgspec.structs.replace(incident, gaps=())


def test_partials_from_before_they_carried_facts_tell_none() -> None:
    found = f.unpack(f.PartialFrame, (GOLDEN / "frames" / "PartialFrame.v4.msgpack").read_bytes())
    assert (found.facts_of, found.told, found.facts.shape) == ((), (), (0, 0))


def test_a_change_from_before_it_had_a_subject_is_readable() -> None:
    payload = b'{"version":1,"environment":"prod","service":"cart","kind":"deploy","time_ns":1,"text":"rolled out"}'
    assert e.decode(e.Change, payload).subject == ""


def test_a_node_from_before_it_said_what_it_lacks_is_readable() -> None:
    payload = b'{"version":1,"node":"n","stage":"detect","lifecycle":"running","healthy":true,"time_ns":1}'
    found = e.decode(e.NodeStatus, payload)
    assert (found.lacks, found.behind_s, found.lag, found.condition) == ((), 0.0, {}, "")


def test_spans_from_before_streams_were_told_apart_and_clocks_in_question_are_readable() -> None:
    found = f.unpack(f.SpanFrame, (GOLDEN / "frames" / "SpanFrame.v1.msgpack").read_bytes())
    assert (found.services, len(found.span), len(found.stream)) == (("shop/cart",), 1, 0)
    assert (found.clocks, len(found.clock)) == ((), 0)


def test_a_newer_version_is_refused() -> None:
    newer = e.encode(EVENTS["Change"]).replace(b'"version":1', b'"version":99')
    with pytest.raises(UnreadableEvent, match="Change v99 is newer than v1"):
        e.decode(e.Change, newer)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"version":1}', b"\xff\xfe", b'{"version":"x"}'])
def test_bytes_that_are_no_event_are_refused(payload: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        e.decode(e.Change, payload)
    with pytest.raises(UnreadableEvent):
        f.unpack(f.FeatureFrame, payload)


def test_another_frame_is_refused() -> None:
    with pytest.raises(UnreadableEvent, match="expected FeatureFrame v5, found SpanFrame v6"):
        f.unpack(f.FeatureFrame, f.pack(FRAMES["SpanFrame"]))
