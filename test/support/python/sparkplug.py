"""Third-party Sparkplug clients, driven by lines of JSON on stdin; prints lines of JSON.

`node PORT`: an edge node with Eclipse Tahu's classes, whose data has only aliases. Answers requests for births.
`pynode PORT`: an edge node of pysparkplug.
`host PORT`: a host of pysparkplug, which resolves aliases by births; requests births on the line {"rebirth": true}.
`schema`: prints the fields of Tahu's payload as {message: {field: number}}.
"""

import json
import os
import sys
import threading

import paho.mqtt.client as mqtt
from mqtt_spb_wrapper.spb_protobuf import sparkplug_b as tahu
from mqtt_spb_wrapper.spb_protobuf.sparkplug_b import MetricDataType as T
from mqtt_spb_wrapper.spb_protobuf.sparkplug_b_pb2 import Payload

GROUP, NODE, DEVICE = "plant", "python", "press"
REBIRTH = "Node Control/Rebirth"


def tell(**line):
    print(json.dumps(line), flush=True)


def lines():
    for line in sys.stdin:
        yield json.loads(line)


def topic(kind, device=None):
    return f"spBv1.0/{GROUP}/{kind}/{NODE}" + (f"/{device}" if device else "")


def tahu_node(port):
    lock = threading.Lock()
    latest = {"level": -5, "counter": 2**53 + 1, "ratio": 0.5, "name": "M1"}
    types = {"level": T.Int8, "counter": T.Int64, "ratio": T.Float, "name": T.String}
    aliases = {name: i + 1 for i, name in enumerate(types)}
    death = tahu.getNodeDeathPayload()

    def births():
        node = tahu.getNodeBirthPayload()
        # Tahu's own number (`--bdSeq`) is one higher than that of the will, but the specification requires the same.
        node.metrics[0].long_value = death.metrics[0].long_value
        tahu.addMetric(node, REBIRTH, None, T.Boolean, False)
        client.publish(topic("NBIRTH"), bytes(node.SerializeToString()))
        device = tahu.getDeviceBirthPayload()
        for name, value in latest.items():
            tahu.addMetric(device, name, aliases[name], types[name], value)
        client.publish(topic("DBIRTH", DEVICE), bytes(device.SerializeToString()))

    def on_connect(*_):
        client.subscribe([(topic("NCMD"), 1), (topic("DCMD", DEVICE), 1)])
        with lock:
            births()
        tell(ready=True)

    def on_message(_client, _userdata, message):
        payload = Payload()
        payload.ParseFromString(message.payload)
        with lock:
            for metric in payload.metrics:
                value = getattr(metric, metric.WhichOneof("value"))
                # JSON readers round larger integers.
                exact = str(value) if isinstance(value, int) and value > 2**53 else value
                tell(command=metric.name, value=exact, datatype=metric.datatype)
                if metric.name == REBIRTH and metric.boolean_value:
                    births()

    client = mqtt.Client(client_id="tahu")
    client.on_connect, client.on_message = on_connect, on_message
    client.will_set(topic("NDEATH"), bytes(death.SerializeToString()), 0, False)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for line in lines():
        with lock:
            if "vanish" in line:
                os._exit(1)
            latest.update(line)
            data = tahu.getDdataPayload()
            for name, value in line.items():
                tahu.addMetric(data, None, aliases[name], types[name], value)
            for metric in data.metrics:
                metric.ClearField("datatype")
            client.publish(topic("DDATA", DEVICE), bytes(data.SerializeToString()))
        tell(sent=True)


def pysparkplug_node(port):
    import pysparkplug as psp

    metric = lambda value: psp.Metric(psp.get_current_timestamp(), "level", psp.DataType.INT16, value=value)

    def commanded(_node, message):
        metrics = message.payload.metrics
        tell(command={m.name: m.value for m in metrics}, types={m.name: m.datatype.name for m in metrics})

    node = psp.EdgeNode(GROUP, NODE, [])
    node.register(psp.Device(DEVICE, metrics=[metric(-7)], cmd_callback=commanded))
    node.connect("127.0.0.1", port=port)
    for line in lines():
        if "level" in line:
            node.update_device(DEVICE, [metric(line["level"])])
        else:
            node.deregister(DEVICE)
        tell(sent=True)
    node.disconnect()


def pysparkplug_host(port):
    import pysparkplug as psp

    def received(_client, message):
        metrics = getattr(message.payload, "metrics", ())
        tell(
            type=str(message.topic.message_type.value),
            device=message.topic.device_id,
            seq=getattr(message.payload, "seq", None),
            session=message.payload.bd_seq_metric.value if hasattr(message.payload, "bd_seq_metric") else None,
            metrics={metric.name: metric.value for metric in metrics},
            qos=int(message.qos),
            retain=bool(message.retain),
        )

    client = psp.Client("pysparkplug")
    client.connect("127.0.0.1", port=port, callback=lambda _: tell(ready=True))
    for kind in ("NBIRTH", "NDATA", "NDEATH"):
        client.subscribe(psp.Topic(message_type=psp.MessageType(kind), group_id=GROUP, edge_node_id="+"), psp.QoS(1), received)
    for kind in ("DBIRTH", "DDATA", "DDEATH"):
        client.subscribe(
            psp.Topic(message_type=psp.MessageType(kind), group_id=GROUP, edge_node_id="+", device_id="+"), psp.QoS(1), received
        )
    for line in lines():
        if "rebirth" in line:
            now = psp.get_current_timestamp()
            payload = psp.NCmd(now, (psp.Metric(now, REBIRTH, psp.DataType.BOOLEAN, value=True),))
            to = psp.Topic(message_type=psp.MessageType.NCMD, group_id=GROUP, edge_node_id=line["rebirth"])
            client.publish(psp.Message(to, payload, psp.QoS(0), False), include_dtypes=True)
    client.disconnect()


def schema():
    found = {}

    def walk(message):
        found[message.name] = {field.name: field.number for field in message.fields}
        for nested in message.nested_types:
            walk(nested)

    walk(Payload.DESCRIPTOR)
    print(json.dumps(found))


mode, *rest = sys.argv[1:]
{"node": tahu_node, "pynode": pysparkplug_node, "host": pysparkplug_host}.get(mode, lambda _=None: schema())(*map(int, rest))
