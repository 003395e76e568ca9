"""Columnar frames: arrays per batch, window and tick. Rare things are events; these carry the telemetry itself."""

from contracts.frames.address_frame import ADDRESS_PARTS, AddressFrame
from contracts.frames.codec import pack, unpack
from contracts.frames.decoded import (
    Decoded,
    HistogramBatch,
    LogBatch,
    PointBatch,
    Resource,
    SpanBatch,
)
from contracts.frames.feature_frame import (
    GLIMPSE,
    EvidenceFrame,
    FeatureFrame,
    InstanceState,
    PartialFrame,
    Presence,
    SpanFrame,
    empty_columns,
)
from contracts.frames.series_frame import SeriesFrame
from contracts.frames.series_point import SeriesMode, SeriesPoint

__all__ = [
    "ADDRESS_PARTS",
    "GLIMPSE",
    "AddressFrame",
    "Decoded",
    "EvidenceFrame",
    "FeatureFrame",
    "HistogramBatch",
    "InstanceState",
    "LogBatch",
    "PartialFrame",
    "PointBatch",
    "Presence",
    "Resource",
    "SeriesFrame",
    "SeriesMode",
    "SeriesPoint",
    "SpanBatch",
    "SpanFrame",
    "empty_columns",
    "pack",
    "unpack",
]
