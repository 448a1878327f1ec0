"""The Sparkplug B payload as protobuf, made at import from its public field numbers; no compiler needed.

What Forecare does not read (templates, data sets, properties, metadata) is declared as bytes: the
same on the wire, and never taken apart, however deep somebody nests it.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_PAYLOAD = (
    (1, "timestamp", _FIELD.TYPE_UINT64),
    (3, "seq", _FIELD.TYPE_UINT64),
    (4, "uuid", _FIELD.TYPE_BYTES),
    (5, "body", _FIELD.TYPE_BYTES),
)
_METRIC = (
    (1, "name", _FIELD.TYPE_BYTES),
    (2, "alias", _FIELD.TYPE_UINT64),
    (3, "timestamp", _FIELD.TYPE_UINT64),
    (4, "datatype", _FIELD.TYPE_UINT32),
    (5, "is_historical", _FIELD.TYPE_BOOL),
    (6, "is_transient", _FIELD.TYPE_BOOL),
    (7, "is_null", _FIELD.TYPE_BOOL),
    (8, "metadata", _FIELD.TYPE_BYTES),
    (9, "properties", _FIELD.TYPE_BYTES),
)
_VALUE = (
    (10, "int_value", _FIELD.TYPE_UINT32),
    (11, "long_value", _FIELD.TYPE_UINT64),
    (12, "float_value", _FIELD.TYPE_FLOAT),
    (13, "double_value", _FIELD.TYPE_DOUBLE),
    (14, "boolean_value", _FIELD.TYPE_BOOL),
    (15, "string_value", _FIELD.TYPE_BYTES),
    (16, "bytes_value", _FIELD.TYPE_BYTES),
    (17, "dataset_value", _FIELD.TYPE_BYTES),
    (18, "template_value", _FIELD.TYPE_BYTES),
    (19, "extension_value", _FIELD.TYPE_BYTES),
)


def _message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="forecare_sparkplug_b.proto", package="forecare.sparkplug", syntax="proto2"
    )
    payload = file.message_type.add(name="Payload")
    metric = payload.nested_type.add(name="Metric")
    metric.oneof_decl.add(name="value")
    for number, name, kind in _PAYLOAD:
        payload.field.add(number=number, name=name, type=kind, label=_FIELD.LABEL_OPTIONAL)
    payload.field.add(
        number=2,
        name="metrics",
        type=_FIELD.TYPE_MESSAGE,
        type_name=".forecare.sparkplug.Payload.Metric",
        label=_FIELD.LABEL_REPEATED,
    )
    for number, name, kind in _METRIC:
        metric.field.add(number=number, name=name, type=kind, label=_FIELD.LABEL_OPTIONAL)
    for number, name, kind in _VALUE:
        metric.field.add(
            number=number, name=name, type=kind, label=_FIELD.LABEL_OPTIONAL, oneof_index=0
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call, unused-ignore]
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("forecare.sparkplug.Payload"))


Payload: Any = _message_class()
