"""Performs a task of test/support/mqtt-clients.ts with the Eclipse client. Usage: mqtt_paho.py TASK, a JSON file."""
import json
import os
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

with open(sys.argv[1], encoding="utf-8") as file:
    task = json.load(file)
v5 = task["version"] == 5


def properties(kind):
    if not v5:
        return None
    made = Properties(kind)
    made.UserProperty = [tuple(pair) for pair in task["user"]]
    return made


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=task["clientId"],
    protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311,
    transport="websockets" if task["webSocket"] else "tcp",
)
client.tls_set(task["ca"], task.get("cert"), task.get("key"))
if "username" in task:
    client.username_pw_set(task["username"], task["password"])
if task["webSocket"]:
    client.ws_set_options(path="/mqtt")
will = task.get("will")
if will:
    client.will_set(will["topic"], will["payload"], 1, False, properties(PacketTypes.WILLMESSAGE))

# Messages arrive in one of the library's threads.
printing = threading.Lock()


def tell(value):
    with printing:
        print(json.dumps(value), flush=True)


connected, subscribed, done = threading.Event(), threading.Event(), threading.Event()
heard = 0


def on_connect(_client, _data, _flags, code, _properties):
    assert not code.is_failure, code
    connected.set()


def on_message(_client, _data, message):
    global heard
    user = getattr(message.properties, "UserProperty", []) if v5 else []
    told = {
        "topic": message.topic,
        "payload": message.payload.decode(),
        "qos": message.qos,
        "retain": bool(message.retain),
        "user": user,
    }
    tell(told)
    heard += 1
    if heard == task["expect"]:
        done.set()


client.on_connect = on_connect
client.on_message = on_message
client.on_subscribe = lambda *_: subscribed.set()
client.connect(task["host"], task["port"], keepalive=30)
client.loop_start()
assert connected.wait(10), "no CONNACK"
if will:
    # Ends the process without DISCONNECT.
    os._exit(0)


def publish(messages):
    for each in messages:
        sent = client.publish(
            each["topic"], each["payload"], each["qos"], each["retain"], properties(PacketTypes.PUBLISH)
        )
        sent.wait_for_publish(10)
        assert sent.is_published(), each


publish(task["before"])
client.subscribe(task["filter"], task["qos"])
assert subscribed.wait(10), "no SUBACK"
publish(task["live"])
tell({"ready": True})
assert done.wait(20), f"{heard} messages arrived"
client.disconnect()
client.loop_stop()
