# Whether fastavro reads data of the writer with the reader's schema. Argument: a file with a JSON list of {"writer", "reader"}. Prints
# a JSON list: null, or the reason why some data cannot be read.
import io
import json
import sys

import fastavro

samples = {
    "null": [None],
    "boolean": [True],
    "int": [1],
    "long": [2**40],
    "float": [1.5],
    "double": [2.5],
    "bytes": [b"a"],
    "string": ["s"],
}


def values(kind):
    """Values of a type that together contain each branch and symbol."""
    if isinstance(kind, str):
        return samples[kind]
    if isinstance(kind, list):
        return [value for branch in kind for value in values(branch)]
    if kind["type"] == "array":
        return [[value] for value in values(kind["items"])]
    if kind["type"] == "map":
        return [{"k": value} for value in values(kind["values"])]
    if kind["type"] == "enum":
        return kind["symbols"]
    if kind["type"] == "fixed":
        return [b"f" * kind["size"]]
    columns = {field["name"]: values(field["type"]) for field in kind["fields"]}
    rows = max([len(column) for column in columns.values()], default=1)
    return [{name: column[i % len(column)] for name, column in columns.items()} for i in range(rows)]


def reason(pair):
    writer = fastavro.parse_schema(pair["writer"])
    reader = fastavro.parse_schema(pair["reader"])
    for value in values(pair["writer"]):
        data = io.BytesIO()
        fastavro.schemaless_writer(data, writer, value)
        data.seek(0)
        try:
            fastavro.schemaless_reader(data, writer, reader)
        except Exception as error:
            return repr(error)[:300]
    return None


with open(sys.argv[1]) as file:
    print(json.dumps([reason(pair) for pair in json.load(file)]))
