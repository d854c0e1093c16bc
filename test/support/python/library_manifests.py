"""Reads manifests with PlatformIO's parser and schema. argv: paths. Prints each manifest as one line of JSON."""
import json
import sys

from platformio.package.manifest.parser import ManifestParserFactory
from platformio.package.manifest.schema import ManifestSchema

# PlatformIO would download the list of licenses.
ManifestSchema.load_spdx_licenses = staticmethod(lambda: {"licenses": [{"licenseId": "Apache-2.0"}]})
for path in sys.argv[1:]:
    print(json.dumps(ManifestSchema().load_manifest(ManifestParserFactory.new_from_file(path).as_dict())))
