"""The protobuf schemas of Jaeger, Zipkin and Prometheus, as far as they are read, for protobuf's own (C) parser.

Declared here as `connectors.otlp.schema` declares OTLP's: no generated code, no compiler in the build, and no package of somebody's
that pins a protobuf of its own. Texts are bytes: the senders' parsers let through what is not UTF-8, and one such text must not cost
a message. Field numbers:
https://github.com/jaegertracing/jaeger-idl (api_v2/model.proto), https://github.com/openzipkin/zipkin-api (zipkin.proto),
https://github.com/prometheus/prometheus (prompb/remote.proto, types.proto, io/prometheus/write/v2/types.proto)
"""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from connectors.otlp.message_classes import Fields, message_classes

_F: Final = FieldDescriptorProto
_BYTES, _BOOL, _DOUBLE = _F.TYPE_BYTES, _F.TYPE_BOOL, _F.TYPE_DOUBLE
_I32, _I64, _U32, _U64 = _F.TYPE_INT32, _F.TYPE_INT64, _F.TYPE_UINT32, _F.TYPE_UINT64
_S32, _S64, _FIXED64 = _F.TYPE_SINT32, _F.TYPE_SINT64, _F.TYPE_FIXED64
_HISTOGRAM: Final[Fields] = (
    *(("count_int", 1, _U64), ("count_float", 2, _DOUBLE), ("sum", 3, _DOUBLE), ("schema", 4, _S32)),
    *(("zero_count_int", 6, _U64), ("zero_count_float", 7, _DOUBLE)),
    *(("negative_spans[]", 8, "BucketSpan"), ("negative_deltas[]", 9, _S64), ("negative_counts[]", 10, _DOUBLE)),
    *(("positive_spans[]", 11, "BucketSpan"), ("positive_deltas[]", 12, _S64), ("positive_counts[]", 13, _DOUBLE)),
    *(("timestamp", 15, _I64), ("custom_values[]", 16, _DOUBLE), ("start_timestamp", 17, _I64)),
)
_MESSAGES: Final[dict[str, Fields]] = {
    "Moment": (("seconds", 1, _I64), ("nanos", 2, _I32)),
    "JaegerTag": (
        *(("key", 1, _BYTES), ("v_type", 2, _I32), ("v_str", 3, _BYTES), ("v_bool", 4, _BOOL)),
        *(("v_int64", 5, _I64), ("v_float64", 6, _DOUBLE), ("v_binary", 7, _BYTES)),
    ),
    "JaegerReference": (("trace_id", 1, _BYTES), ("span_id", 2, _BYTES), ("ref_type", 3, _I32)),
    "JaegerProcess": (("service_name", 1, _BYTES), ("tags[]", 2, "JaegerTag")),
    "JaegerLog": (("timestamp", 1, "Moment"), ("fields[]", 2, "JaegerTag")),
    "JaegerSpan": (
        *(("trace_id", 1, _BYTES), ("span_id", 2, _BYTES), ("operation_name", 3, _BYTES)),
        *(("references[]", 4, "JaegerReference"), ("start_time", 6, "Moment"), ("duration", 7, "Moment")),
        *(("tags[]", 8, "JaegerTag"), ("logs[]", 9, "JaegerLog"), ("process", 10, "JaegerProcess")),
    ),
    "ZipkinEndpoint": (("service_name", 1, _BYTES), ("ipv4", 2, _BYTES), ("ipv6", 3, _BYTES), ("port", 4, _I32)),
    "ZipkinTag": (("key", 1, _BYTES), ("value", 2, _BYTES)),
    "ZipkinSpan": (
        *(("trace_id", 1, _BYTES), ("parent_id", 2, _BYTES), ("id", 3, _BYTES), ("kind", 4, _I32), ("name", 5, _BYTES)),
        *(("timestamp", 6, _FIXED64), ("duration", 7, _U64)),
        *(("local_endpoint", 8, "ZipkinEndpoint"), ("remote_endpoint", 9, "ZipkinEndpoint")),
        *(("tags[]", 11, "ZipkinTag"), ("shared", 13, _BOOL)),
    ),
    "ZipkinSpans": (("spans[]", 1, "ZipkinSpan"),),
    "BucketSpan": (("offset", 1, _S32), ("length", 2, _U32)),
    "HistogramSample": _HISTOGRAM,
    "Label": (("name", 1, _BYTES), ("value", 2, _BYTES)),
    "Sample": (("value", 1, _DOUBLE), ("timestamp", 2, _I64), ("start_timestamp", 3, _I64)),
    "Series": (("labels[]", 1, "Label"), ("samples[]", 2, "Sample"), ("histograms[]", 4, "HistogramSample")),
    "FamilyMetadata": (("type", 1, _I32), ("metric_family_name", 2, _BYTES), ("unit", 5, _BYTES)),
    "WriteRequest": (("timeseries[]", 1, "Series"), ("metadata[]", 3, "FamilyMetadata")),
    "SeriesMetadata": (("type", 1, _I32), ("unit_ref", 4, _U32)),
    "SymbolSeries": (
        *(("labels_refs[]", 1, _U32), ("samples[]", 2, "Sample"), ("histograms[]", 3, "HistogramSample")),
        *(("metadata", 5, "SeriesMetadata"), ("created_timestamp", 6, _I64)),
    ),
    "WriteRequest2": (("symbols[]", 4, _BYTES), ("timeseries[]", 5, "SymbolSeries")),
}


_CLASSES: Final = message_classes("homeostat.foreign", _MESSAGES)
JaegerSpan: Final = _CLASSES["JaegerSpan"]
ZipkinSpans: Final = _CLASSES["ZipkinSpans"]
WriteRequest: Final = _CLASSES["WriteRequest"]
WriteRequest2: Final = _CLASSES["WriteRequest2"]
