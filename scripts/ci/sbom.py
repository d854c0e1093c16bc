"""Holds a bill of materials to the schema of CycloneDX that it names, by CycloneDX's own library: sbom.py FILE, exits 1 when it is wrong."""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

with open(sys.argv[1], encoding="utf-8") as file:
    text = file.read()
try:
    version = SchemaVersion.from_version(json.loads(text).get("specVersion", ""))
except (ValueError, KeyError, AttributeError) as error:
    sys.exit(f"{sys.argv[1]}: no bill of materials of a known version ({error})")
wrong = JsonStrictValidator(version).validate_str(text)
if wrong:
    sys.exit(f"{sys.argv[1]}: {wrong.data.message if hasattr(wrong.data, 'message') else wrong.data}"[:400])
print(f"CycloneDX {version.to_version()}: valid")
