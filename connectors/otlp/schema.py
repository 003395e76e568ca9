"""The part of the OTLP schema that spans and log records as columns need, for protobuf's own (C) parser.

Same field numbers as opentelemetry/proto/*/v1/*.proto, fewer fields: attributes and events stay unread, which saves
most of the parsing. Resource, status, names, bodies and attributes are bytes: unlike protobuf's own, the Go Collector's parser
lets text through that is not UTF-8, and one such text must not cost the message.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from connectors.otlp.message_classes import Fields, message_classes

_F: Final = FieldDescriptorProto
_ABOUT_RESOURCE: Final[Fields] = (("resource", 1, _F.TYPE_BYTES), ("schema_url", 3, _F.TYPE_BYTES))
_ABOUT_SCOPE: Final[Fields] = (("scope", 1, _F.TYPE_BYTES), ("schema_url", 3, _F.TYPE_BYTES))
"""Read so that what is unknown can be told from what is known."""
_MESSAGES: Final[dict[str, Fields]] = {
    "Span": (
        ("trace_id", 1, _F.TYPE_BYTES),
        ("span_id", 2, _F.TYPE_BYTES),
        ("trace_state", 3, _F.TYPE_BYTES),
        ("parent_span_id", 4, _F.TYPE_BYTES),
        ("name", 5, _F.TYPE_BYTES),
        ("kind", 6, _F.TYPE_INT32),
        ("start_time_unix_nano", 7, _F.TYPE_FIXED64),
        ("end_time_unix_nano", 8, _F.TYPE_FIXED64),
        ("links[]", 13, _F.TYPE_BYTES),
        ("status", 15, _F.TYPE_BYTES),
        ("flags", 16, _F.TYPE_FIXED32),
    ),
    "Link": (("trace_id", 1, _F.TYPE_BYTES), ("span_id", 2, _F.TYPE_BYTES)),
    "LinksOfSpan": (("links[]", 13, "Link"),),
    "ScopeSpans": (*_ABOUT_SCOPE, ("spans[]", 2, "Span")),
    "ResourceSpans": (*_ABOUT_RESOURCE, ("scope_spans[]", 2, "ScopeSpans")),
    "TracesData": (("resource_spans[]", 1, "ResourceSpans"),),
    "ScopeOfBytes": (*_ABOUT_SCOPE, ("spans[]", 2, _F.TYPE_BYTES)),
    "ResourceOfBytes": (
        *_ABOUT_RESOURCE,
        ("scope_spans[]", 2, "ScopeOfBytes"),
        ("instrumentation_library_spans[]", 1000, _F.TYPE_BYTES),
    ),
    "TracesOfBytes": (("resource_spans[]", 1, "ResourceOfBytes"),),
    "LogRecord": (
        ("time_unix_nano", 1, _F.TYPE_FIXED64),
        ("severity_number", 2, _F.TYPE_INT32),
        ("severity_text", 3, _F.TYPE_BYTES),
        ("body", 5, _F.TYPE_BYTES),
        ("trace_id", 9, _F.TYPE_BYTES),
        ("span_id", 10, _F.TYPE_BYTES),
        ("observed_time_unix_nano", 11, _F.TYPE_FIXED64),
    ),
    "ScopeLogs": (*_ABOUT_SCOPE, ("log_records[]", 2, "LogRecord")),
    "ResourceLogs": (*_ABOUT_RESOURCE, ("scope_logs[]", 2, "ScopeLogs")),
    "LogsData": (("resource_logs[]", 1, "ResourceLogs"),),
    "Status": (("code", 3, _F.TYPE_INT32), ("deprecated_code", 2, _F.TYPE_INT32)),
    "AttributesOfSpan": (("attributes[]", 9, _F.TYPE_BYTES),),
    "AttributesOfLog": (("attributes[]", 6, _F.TYPE_BYTES),),
    "AttributesOfResource": (("attributes[]", 1, _F.TYPE_BYTES),),
    "Pair": (("key", 1, _F.TYPE_BYTES), ("value", 2, _F.TYPE_BYTES)),
    "Text": (("string_value", 1, _F.TYPE_BYTES),),
}


_CLASSES: Final = message_classes("homeostat.otlp", _MESSAGES)
TracesData: Final = _CLASSES["TracesData"]
TracesOfBytes: Final = _CLASSES["TracesOfBytes"]
LogsData: Final = _CLASSES["LogsData"]
Status: Final = _CLASSES["Status"]
AttributesOfSpan: Final = _CLASSES["AttributesOfSpan"]
LinksOfSpan: Final = _CLASSES["LinksOfSpan"]
Link: Final = _CLASSES["Link"]
AttributesOfLog: Final = _CLASSES["AttributesOfLog"]
AttributesOfResource: Final = _CLASSES["AttributesOfResource"]
Pair: Final = _CLASSES["Pair"]
Text: Final = _CLASSES["Text"]
