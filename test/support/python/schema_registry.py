# Writes and reads with the serializers of Confluent's client, through a registry. Arguments: URL, token, CA file. Prints a JSON object:
# the result of each case, or {"error": …}.
import json
import sys

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.timestamp_pb2 import Timestamp

url, token, ca = sys.argv[1:]
settings = {"url": url, "ssl.ca.location": ca, "basic.auth.user.info": "any:" + token}
client = SchemaRegistryClient(settings)


def of(topic):
    return SerializationContext(topic, MessageField.VALUE)


def avro_schema(*more):
    fields = [{"name": "x", "type": "int"}, *more]
    return json.dumps({"type": "record", "name": "R", "fields": fields})


def avro():
    data = AvroSerializer(client, avro_schema())({"x": 3}, of("avro"))
    added = {"name": "y", "type": "string", "default": "none"}
    # Another client, which knows no schema yet, reads with a newer schema.
    reader = AvroDeserializer(SchemaRegistryClient(settings), avro_schema(added))
    return {"magic": data[0], "read": reader(data, of("avro"))}


def json_schema():
    schema = '{"title":"J","type":"object","properties":{"x":{"type":"integer"}}}'
    write = JSONSerializer(schema, client)
    data = write({"x": 3}, of("json"))
    try:
        write({"x": "three"}, of("json"))
        refused = False
    except Exception:
        refused = True
    other = SchemaRegistryClient(settings)
    read = JSONDeserializer(None, schema_registry_client=other)(data, of("json"))
    return {"read": read, "refused": refused}


def message(file, name):
    pool = descriptor_pool.Default()
    made = pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(made.message_types_by_name[name])


def round_trip(value, topic, **conf):
    common = {"use.deprecated.format": False}
    data = ProtobufSerializer(type(value), client, {**common, **conf})(value, of(topic))
    other = SchemaRegistryClient(settings)
    read = ProtobufDeserializer(type(value), common, other)(data, of(topic))
    latest = client.get_latest_version(topic + "-value").schema
    return {
        "same": read == value,
        "read": json_format.MessageToDict(read),
        "text": latest.schema_str,
        "references": [[r.name, r.subject, r.version] for r in latest.references or []],
    }


def file_of(name, *dependencies):
    return descriptor_pb2.FileDescriptorProto(
        name=name, package="own", syntax="proto3", dependency=dependencies
    )


def protobuf():
    file = file_of("own.proto")
    reading = file.message_type.add(name="Reading")
    reading.field.add(name="x", number=1, type=5, label=1)
    reading.field.add(name="names", number=2, type=9, label=3)
    kinds = file.enum_type.add(name="Kind")
    kinds.value.add(name="COLD", number=0)
    kinds.value.add(name="HOT", number=1)
    reading.field.add(name="kind", number=3, type=14, label=1, type_name=".own.Kind")
    entry = reading.nested_type.add(name="CountsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=9, label=1)
    entry.field.add(name="value", number=2, type=18, label=1)
    reading.field.add(
        name="counts", number=4, type=11, label=3, type_name=".own.Reading.CountsEntry"
    )
    reading.oneof_decl.add(name="value")
    reading.field.add(name="number", number=5, type=1, label=1, oneof_index=0)
    reading.field.add(name="raw", number=6, type=12, label=1, oneof_index=0)
    reading.oneof_decl.add(name="_limit")
    reading.field.add(
        name="limit", number=7, type=7, label=1, oneof_index=1, proto3_optional=True
    )
    value = message(file, "Reading")(x=5, names=["a"], kind=1, number=0.5, limit=0)
    value.counts["k"] = -3
    return round_trip(value, "proto")


def stamped(topic, **conf):
    file = file_of(topic + ".proto", "google/protobuf/timestamp.proto")
    name = "Stamped" + topic.title().replace("-", "")
    made = file.message_type.add(name=name)
    made.field.add(name="at", number=1, type=11, label=1, type_name=".google.protobuf.Timestamp")
    return round_trip(message(file, name)(at=Timestamp(seconds=1_700_000_000)), topic, **conf)


def references():
    unit = file_of("unit.proto")
    unit.message_type.add(name="Unit").field.add(name="name", number=1, type=9, label=1)
    descriptor_pool.Default().AddSerializedFile(unit.SerializeToString())
    file = file_of("measured.proto", "unit.proto")
    made = file.message_type.add(name="Measured")
    made.field.add(name="unit", number=1, type=11, label=1, type_name=".own.Unit")
    made.field.add(name="value", number=2, type=1, label=1)
    kind = message(file, "Measured")
    value = kind(value=1.5)
    value.unit.name = "m"
    return round_trip(value, "measured")


def administration():
    latest = client.get_latest_version("avro-value")
    found = client.lookup_schema("avro-value", Schema(avro_schema(), "AVRO"))
    broken = Schema(avro_schema({"name": "z", "type": "int"}), "AVRO")
    compatible = client.test_compatibility("avro-value", broken)
    try:
        client.register_schema("avro-value", broken)
        refused = None
    except SchemaRegistryError as error:
        refused = error.error_code
    client.set_compatibility("avro-value", "FULL")
    return {
        "subjects": sorted(client.get_subjects()),
        "same": latest.schema_id == found.schema_id and latest.version == found.version == 1,
        "level": client.get_compatibility("avro-value"),
        "compatible": compatible,
        "refused": refused,
        "deleted": [
            client.delete_subject("avro-value"),
            client.delete_subject("avro-value", permanent=True),
        ],
    }


cases = {
    "avro": avro,
    "json": json_schema,
    "protobuf": protobuf,
    "timestamp": lambda: stamped("stamped"),
    "registered": lambda: stamped("registered", **{"skip.known.types": False}),
    "references": references,
    "administration": administration,
}
results = {}
for name, case in cases.items():
    try:
        results[name] = case()
    except Exception as error:
        results[name] = {"error": repr(error)}
print(json.dumps(results))
