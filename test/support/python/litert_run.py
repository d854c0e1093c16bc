"""Runs .tflite files in Google's LiteRT. argv[1]: a JSON list of jobs {model, input, output, reference}.

`input` holds raw elements for any number of runs, `output` gets the raw elements of each. `reference` picks the
reference kernels instead of the default (XNNPACK) ones. Prints a JSON list, one {signatures} for each job.
"""
import json
import sys

import numpy
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def run(job):
    kernels = OpResolverType.BUILTIN_REF if job.get("reference") else OpResolverType.AUTO
    interpreter = Interpreter(model_path=job["model"], experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    values = numpy.fromfile(job["input"], dtype=given["dtype"]).reshape([-1, *given["shape"]])
    with open(job["output"], "wb") as file:
        for value in values:
            interpreter.set_tensor(given["index"], value)
            interpreter.invoke()
            file.write(interpreter.get_tensor(made["index"]).tobytes())
    return {"signatures": interpreter.get_signature_list()}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        jobs = json.load(file)
    print(json.dumps([run(job) for job in jobs]))
