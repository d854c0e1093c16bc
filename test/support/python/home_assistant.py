"""Validates messages as Home Assistant would: its discovery parser, the schemas of its platforms, and its templates.

Reads JSON from stdin: a list of {object_id, payload, states: {topic: payload}}. Writes a list of {components}, where each component has
its platform, validated configuration keys, and the result of its template or of its update schema for the state of its topic.
"""

import asyncio
import json
import logging
import sys
from types import SimpleNamespace

from homeassistant.components.mqtt import discovery, sensor, update
from homeassistant.components.sensor.const import DEVICE_CLASS_STATE_CLASSES, DEVICE_CLASS_UNITS
from homeassistant.core import HomeAssistant
from homeassistant.helpers import template
from homeassistant.util.json import json_loads

SCHEMAS = {"sensor": sensor.DISCOVERY_SCHEMA, "update": update.DISCOVERY_SCHEMA}


class Warnings(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def judge(hass, message, states):
    object_id, payload = message["object_id"], message["payload"]
    matched = discovery.TOPIC_MATCHER.match(f"device/{object_id}/config")
    device = discovery._parse_device_payload(hass, payload, object_id, None) if matched else {}
    found = {}
    for key, component in device.get("components", {}).items():
        platform = component.pop("platform")
        config = discovery.MQTTDiscoveryPayload(component)
        discovery._merge_common_device_options(config, device)
        valid = SCHEMAS[platform](config)
        state = states.get(valid["state_topic"])
        told = None
        if state is not None and platform == "update":
            told = update.MQTT_JSON_UPDATE_SCHEMA(json_loads(state))
        elif state is not None:
            value = template.Template(valid["value_template"].template, hass)
            told = value.async_render_with_possible_json_value(state, "failed", {})
        device_class = valid.get("device_class")
        found[key] = {
            "platform": platform,
            "told": told,
            "unit_fits": device_class is None
            or platform == "update"
            or valid.get("unit_of_measurement") in DEVICE_CLASS_UNITS[device_class],
            "state_class_fits": device_class is None
            or platform == "update"
            or valid.get("state_class") in DEVICE_CLASS_STATE_CLASSES[device_class],
            "install": valid.get("command_topic") if platform == "update" else None,
        }
    return found


async def main():
    asked = json.load(sys.stdin)
    warnings = Warnings()
    logging.getLogger("homeassistant").addHandler(warnings)
    hass = HomeAssistant("/tmp")
    hass.data["mqtt"] = SimpleNamespace(discovery_already_discovered={})
    components = [judge(hass, message, asked["states"]) for message in asked["messages"]]
    units = {name: sorted(str(unit) for unit in units) for name, units in DEVICE_CLASS_UNITS.items()}
    print(json.dumps({"components": components, "warnings": warnings.texts, "units": units}))
    await hass.async_stop(force=True)


asyncio.run(main())
