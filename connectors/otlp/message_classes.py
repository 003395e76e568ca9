"""Protobuf classes from tables of fields, for protobuf's own (C) parser: no generated code and no compiler in the build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

Fields = tuple[tuple[str, int, Any], ...]
"""Name, number, and type (or the name of a message of the same table); a name that ends in [] is repeated."""


def message_classes(package: str, messages: Mapping[str, Fields]) -> dict[str, Any]:
    """The class of each message, by its name; `package` is one that nothing else declares."""
    file = FileDescriptorProto(name=f"{package.replace('.', '/')}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            label = FieldDescriptorProto.LABEL_REPEATED if field.endswith("[]") else FieldDescriptorProto.LABEL_OPTIONAL
            added = message.field.add(name=field.removesuffix("[]"), number=number, label=label)
            nested = isinstance(kind, str)
            added.type = FieldDescriptorProto.TYPE_MESSAGE if nested else kind
            if nested:
                added.type_name = f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{n}")) for n in messages}
