"""The part of the OTLP schema that spans and log records as columns need, for protobuf's own (C) parser.

Same field numbers as opentelemetry/proto/*/v1/*.proto, fewer fields: attributes and events stay unread, which saves
most of the parsing. Resource, status, names, bodies and attributes are bytes: unlike protobuf's own, the Go Collector's parser
lets text through that is not UTF-8, and one such text must not cost the message.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

_PACKAGE: Final = "homeostat.otlp"
_F: Final = FieldDescriptorProto
_SCALAR: Final = _F.LABEL_OPTIONAL
_MANY: Final = _F.LABEL_REPEATED
# message -> fields: name, number, type (or name of a message), label
_FIELDS: Final[dict[str, tuple[tuple[str, int, Any, Any], ...]]] = {
    "Span": (
        ("trace_id", 1, _F.TYPE_BYTES, _SCALAR),
        ("span_id", 2, _F.TYPE_BYTES, _SCALAR),
        ("trace_state", 3, _F.TYPE_BYTES, _SCALAR),
        ("parent_span_id", 4, _F.TYPE_BYTES, _SCALAR),
        ("name", 5, _F.TYPE_BYTES, _SCALAR),
        ("kind", 6, _F.TYPE_INT32, _SCALAR),
        ("start_time_unix_nano", 7, _F.TYPE_FIXED64, _SCALAR),
        ("end_time_unix_nano", 8, _F.TYPE_FIXED64, _SCALAR),
        ("links", 13, _F.TYPE_BYTES, _MANY),
        ("status", 15, _F.TYPE_BYTES, _SCALAR),
        ("flags", 16, _F.TYPE_FIXED32, _SCALAR),
    ),
    "Link": (("trace_id", 1, _F.TYPE_BYTES, _SCALAR), ("span_id", 2, _F.TYPE_BYTES, _SCALAR)),
    "LinksOfSpan": (("links", 13, "Link", _MANY),),
    "ScopeSpans": (("spans", 2, "Span", _MANY),),
    "ResourceSpans": (("resource", 1, _F.TYPE_BYTES, _SCALAR), ("scope_spans", 2, "ScopeSpans", _MANY)),
    "TracesData": (("resource_spans", 1, "ResourceSpans", _MANY),),
    "ScopeOfBytes": (("spans", 2, _F.TYPE_BYTES, _MANY),),
    "ResourceOfBytes": (
        ("resource", 1, _F.TYPE_BYTES, _SCALAR),
        ("scope_spans", 2, "ScopeOfBytes", _MANY),
        ("instrumentation_library_spans", 1000, _F.TYPE_BYTES, _MANY),
    ),
    "TracesOfBytes": (("resource_spans", 1, "ResourceOfBytes", _MANY),),
    "LogRecord": (
        ("time_unix_nano", 1, _F.TYPE_FIXED64, _SCALAR),
        ("severity_number", 2, _F.TYPE_INT32, _SCALAR),
        ("severity_text", 3, _F.TYPE_BYTES, _SCALAR),
        ("body", 5, _F.TYPE_BYTES, _SCALAR),
        ("trace_id", 9, _F.TYPE_BYTES, _SCALAR),
        ("span_id", 10, _F.TYPE_BYTES, _SCALAR),
        ("observed_time_unix_nano", 11, _F.TYPE_FIXED64, _SCALAR),
    ),
    "ScopeLogs": (("log_records", 2, "LogRecord", _MANY),),
    "ResourceLogs": (("resource", 1, _F.TYPE_BYTES, _SCALAR), ("scope_logs", 2, "ScopeLogs", _MANY)),
    "LogsData": (("resource_logs", 1, "ResourceLogs", _MANY),),
    "Status": (("code", 3, _F.TYPE_INT32, _SCALAR),),
    "AttributesOfSpan": (("attributes", 9, _F.TYPE_BYTES, _MANY),),
    "AttributesOfLog": (("attributes", 6, _F.TYPE_BYTES, _MANY),),
    "AttributesOfResource": (("attributes", 1, _F.TYPE_BYTES, _MANY),),
    "Pair": (("key", 1, _F.TYPE_BYTES, _SCALAR), ("value", 2, _F.TYPE_BYTES, _SCALAR)),
    "Text": (("string_value", 1, _F.TYPE_BYTES, _SCALAR),),
}


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="homeostat/otlp/columns.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label in fields:
            nested = isinstance(kind, str)
            added = message.field.add(name=field, number=number, label=label)
            added.type = _F.TYPE_MESSAGE if nested else kind
            if nested:
                added.type_name = f".{_PACKAGE}.{kind}"
    return file


_POOL: Final = descriptor_pool.DescriptorPool()
_POOL.Add(_file())


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


TracesData: Final = _message("TracesData")
TracesOfBytes: Final = _message("TracesOfBytes")
LogsData: Final = _message("LogsData")
Status: Final = _message("Status")
AttributesOfSpan: Final = _message("AttributesOfSpan")
LinksOfSpan: Final = _message("LinksOfSpan")
Link: Final = _message("Link")
AttributesOfLog: Final = _message("AttributesOfLog")
AttributesOfResource: Final = _message("AttributesOfResource")
Pair: Final = _message("Pair")
Text: Final = _message("Text")
