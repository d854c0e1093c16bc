"""Performs a task of test/support/mqtt-clients.ts with aiomqtt. Usage: mqtt_aiomqtt.py TASK, a JSON file."""
import asyncio
import json
import os
import sys

import aiomqtt
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


async def main():
    will = task.get("will")
    last = will and aiomqtt.Will(will["topic"], will["payload"], 1, False, properties(PacketTypes.WILLMESSAGE))
    client = aiomqtt.Client(
        task["host"],
        task["port"],
        identifier=task["clientId"],
        username=task.get("username"),
        password=task.get("password"),
        protocol=aiomqtt.ProtocolVersion.V5 if v5 else aiomqtt.ProtocolVersion.V311,
        transport="websockets" if task["webSocket"] else "tcp",
        websocket_path="/mqtt" if task["webSocket"] else None,
        tls_params=aiomqtt.TLSParameters(
            ca_certs=task["ca"], certfile=task.get("cert"), keyfile=task.get("key")
        ),
        will=last,
        timeout=10,
    )
    async with client:
        if will:
            # Ends the process without DISCONNECT.
            os._exit(0)

        async def publish(messages):
            for each in messages:
                await client.publish(
                    each["topic"],
                    each["payload"],
                    each["qos"],
                    each["retain"],
                    properties=properties(PacketTypes.PUBLISH),
                )

        await publish(task["before"])
        await client.subscribe(task["filter"], task["qos"])
        await publish(task["live"])
        print(json.dumps({"ready": True}), flush=True)
        heard = 0
        async for message in client.messages:
            user = getattr(message.properties, "UserProperty", []) if v5 else []
            told = {
                "topic": str(message.topic),
                "payload": message.payload.decode(),
                "qos": message.qos,
                "retain": bool(message.retain),
                "user": user,
            }
            print(json.dumps(told), flush=True)
            heard += 1
            if heard == task["expect"]:
                break


asyncio.run(asyncio.wait_for(main(), 30))
