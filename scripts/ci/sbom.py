"""Validates a bill of materials with CycloneDX's own library, against the schema that the file names: sbom.py FILE. Exits 1 if it is invalid."""

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
