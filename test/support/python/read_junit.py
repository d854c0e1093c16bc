"""Reads JUnit XML with junitparser. argv: files. Prints JSON: for each file, its suites with counts and cases, as parsed by that
library."""
import json
import sys

from junitparser import Failure, JUnitXml, Skipped


def case(each):
    results = each.result
    failure = next((one for one in results if isinstance(one, Failure)), None)
    return {
        "classname": each.classname,
        "name": each.name,
        "failure": failure.text if failure is not None else None,
        "skipped": any(isinstance(one, Skipped) for one in results),
    }


def suites(file):
    return [
        {"name": s.name, "tests": s.tests, "failures": s.failures, "errors": s.errors, "skipped": s.skipped, "cases": [case(c) for c in s]}
        for s in JUnitXml.fromfile(file)
    ]


print(json.dumps([suites(file) for file in sys.argv[1:]]))
