"""Converts schemas that the projects publish to JSON schemas that kubeconform reads: schemas.py OUT SOURCE…

A SOURCE is KIND=PATH: kubernetes=FOLDER (kubernetes-validate's own of one version), crd=FILE (YAML, one or more definitions), or
events=FILE (Argo Events' schema.json).
"""

import json
import pathlib
import sys

import yaml

EVENTS = "io.argoproj.events.v1alpha1"


def main():
    out = pathlib.Path(sys.argv[1])
    for source in sys.argv[2:]:
        kind, _, path = source.partition("=")
        {"kubernetes": kubernetes, "crd": crd, "events": events}[kind](pathlib.Path(path), out)


def kubernetes(folder, out):
    """Replaces the schemas' absolute references, which kubeconform cannot resolve, with references to the file in the same folder."""
    target = out / "v1.37.0-standalone-strict"
    target.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.json"):
        own = "#" if file.name == "_definitions.json" else "_definitions.json#"
        schema = json.loads(file.read_text().replace("/api/_definitions.json#", own))
        schema.pop("$id", None)
        (target / file.name).write_text(json.dumps(schema))


def crd(path, out):
    for document in yaml.safe_load_all(path.read_text()):
        if not document or document.get("kind") != "CustomResourceDefinition":
            continue
        spec = document["spec"]
        for version in spec["versions"]:
            schema = closed(version["schema"]["openAPIV3Schema"])
            write(out, spec["group"], spec["names"]["kind"], version["name"], schema)


def events(path, out):
    """Writes schemas of Argo Events' resources, whose CRDs do not describe `spec`. The file allows unknown fields, which are rejected
    here."""
    definitions = json.loads(path.read_text())["definitions"]
    # A receiver has no URL of its own; Argo's generator marks the field as required by mistake.
    receiver = definitions[f"{EVENTS}.WebhookEventSource"]
    receiver["required"] = [name for name in receiver.get("required", []) if name != "url"]
    for schema in definitions.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    for kind in ("EventBus", "EventSource", "Sensor"):
        definitions[f"{EVENTS}.{kind}Status"].pop("additionalProperties", None)
        schema = {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$ref": f"#/definitions/{EVENTS}.{kind}",
            "definitions": definitions,
        }
        write(out, "argoproj.io", kind, "v1alpha1", schema)


def write(out, group, kind, version, schema):
    folder = out / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{kind.lower()}_{version}.json").write_text(json.dumps(schema))


def closed(schema):
    """Rejects unknown fields, as the API server does in strict mode, unless the definition preserves unknown fields."""
    if not isinstance(schema, dict):
        return schema
    made = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {name: closed(child) for name, child in value.items()}
        elif key in ("items", "additionalProperties", "not"):
            made[key] = closed(value)
        elif key in ("allOf", "anyOf", "oneOf"):
            made[key] = [closed(child) for child in value]
        elif not key.startswith("x-kubernetes-"):
            made[key] = value
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made.pop("anyOf", None)
        made["oneOf"] = [{"type": "string"}, {"type": "integer"}]
    if "properties" in made and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if made.pop("nullable", False) and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


main()
