"""Prints payloads encoded by third-party libraries, one JSON line each: {"name", "hex", "value"}. argv[1]: a folder for schemas."""
import datetime
import json
import pathlib
import sys

import cbor2
import fastavro
import io
import msgpack
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

folder = pathlib.Path(sys.argv[1])


def tell(name, data, value):
    print(json.dumps({"name": name, "hex": bytes(data).hex(), "value": value}))


reading = {"deviceID": "14896456", "temperature": 21.5, "count": 7, "ok": True, "none": None, "list": [1, -2, 3.25], "name": "Zürich"}
big = 2**53 + 1

for name, made in (("cbor", cbor2.dumps), ("msgpack", msgpack.packb)):
    tell(f"{name} reading", made(reading), reading)
    tell(f"{name} numbers", made([0, -1, 255, 65536, 2**32, -(2**31), big, 1e300]), [0, -1, 255, 65536, 2**32, -(2**31), str(big), 1e300])
    tell(f"{name} bytes", made({"raw": b"\x00\xff"}), {"raw": "AP8="})
    tell(f"{name} number keys", made({1: "one", 2: {"three": 3}}), {"1": "one", "2": {"three": 3}})
tell("cbor half float", cbor2.dumps(1.5, canonical=True), 1.5)
tell("cbor bignum", cbor2.dumps(2**70), str(2**70))
tell("cbor negative bignum", cbor2.dumps(-(2**70)), str(-(2**70)))
tell("cbor time", cbor2.dumps(datetime.datetime(2026, 11, 20, tzinfo=datetime.timezone.utc)), "2026-11-20T00:00:00Z")
tell("cbor unknown tag", cbor2.dumps(cbor2.CBORTag(4711, [1, 2])), [1, 2])
tell("cbor indefinite", bytes.fromhex("bf61619f0203ffff"), {"a": [2, 3]})
tell("msgpack time", msgpack.packb(msgpack.Timestamp(1700000000, 0)), "2023-11-14T22:13:20.000Z")

schema = {
    "type": "record", "name": "Reading", "namespace": "plant",
    "fields": [
        {"name": "deviceID", "type": "string"},
        {"name": "temperature", "type": ["null", "double"]},
        {"name": "at", "type": "long"},
        {"name": "raw", "type": "bytes"},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["OFF", "ON"]}},
        {"name": "values", "type": {"type": "array", "items": "float"}},
    ],
}
(folder / "reading.avsc").write_text(json.dumps(schema))
record = {"deviceID": "a", "temperature": 21.5, "at": 1700000000123, "raw": b"\x00\xff", "state": "ON", "values": [1.5, -2.0]}
out = io.BytesIO()
fastavro.schemaless_writer(out, schema, record)
wanted = {**record, "raw": "AP8="}
tell("avro record", out.getvalue(), wanted)
tell("avro single object", b"\xc3\x01" + bytes(8) + out.getvalue(), wanted)
tell("avro of a registry", b"\x00\x00\x00\x00\x2a" + out.getvalue(), wanted)
out = io.BytesIO()
fastavro.schemaless_writer(out, schema, {**record, "temperature": None, "at": big})
tell("avro null and big", out.getvalue(), {**wanted, "temperature": None, "at": str(big)})

proto = """syntax = "proto3";
package plant;
enum State { OFF = 0; ON = 1; }
message Motor { double current = 1; }
message Reading {
  string device_id = 1;
  double temperature = 2;
  int64 at = 3;
  bytes raw = 4;
  State state = 5;
  repeated float values = 6;
  Motor motor = 7;
  map<string, int32> counts = 8;
}
"""
(folder / "reading.proto").write_text(proto)
F = descriptor_pb2.FieldDescriptorProto
file = descriptor_pb2.FileDescriptorProto(name="reading.proto", package="plant", syntax="proto3")
state = file.enum_type.add(name="State")
state.value.add(name="OFF", number=0)
state.value.add(name="ON", number=1)
motor = file.message_type.add(name="Motor")
motor.field.add(name="current", number=1, type=F.TYPE_DOUBLE, label=F.LABEL_OPTIONAL)
message = file.message_type.add(name="Reading")
for number, (name, kind, label, type_name) in enumerate(
    [
        ("device_id", F.TYPE_STRING, F.LABEL_OPTIONAL, None),
        ("temperature", F.TYPE_DOUBLE, F.LABEL_OPTIONAL, None),
        ("at", F.TYPE_INT64, F.LABEL_OPTIONAL, None),
        ("raw", F.TYPE_BYTES, F.LABEL_OPTIONAL, None),
        ("state", F.TYPE_ENUM, F.LABEL_OPTIONAL, ".plant.State"),
        ("values", F.TYPE_FLOAT, F.LABEL_REPEATED, None),
        ("motor", F.TYPE_MESSAGE, F.LABEL_OPTIONAL, ".plant.Motor"),
        ("counts", F.TYPE_MESSAGE, F.LABEL_REPEATED, ".plant.Reading.CountsEntry"),
    ],
    1,
):
    message.field.add(name=name, number=number, type=kind, label=label, type_name=type_name)
entry = message.nested_type.add(name="CountsEntry")
entry.options.map_entry = True
entry.field.add(name="key", number=1, type=F.TYPE_STRING, label=F.LABEL_OPTIONAL)
entry.field.add(name="value", number=2, type=F.TYPE_INT32, label=F.LABEL_OPTIONAL)
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
Reading = message_factory.GetMessageClass(pool.FindMessageTypeByName("plant.Reading"))
made = Reading(device_id="a", temperature=21.5, at=1700000000123, raw=b"\x00\xff", state=1, values=[1.5, -2.0])
made.motor.current = 0.5
made.counts["x"] = -3
full = {"device_id": "a", "temperature": 21.5, "at": 1700000000123, "raw": "AP8=", "state": "ON", "values": [1.5, -2.0], "motor": {"current": 0.5}, "counts": {"x": -3}}
tell("protobuf reading", made.SerializeToString(), full)
tell("protobuf big", Reading(at=big).SerializeToString(), {"device_id": "", "temperature": 0, "at": str(big), "raw": "", "state": "OFF", "values": [], "motor": None, "counts": {}})
