"""Runs .tflite files in Google's LiteRT. argv[1]: a JSON list of jobs {model, input, output, reference, real}.

`input` contains raw elements for any number of runs, and `output` gets the raw elements of each. `reference` selects the
reference kernels instead of the default (XNNPACK) ones. `real`: input and output are float32, whatever types the model
uses. Prints a JSON list, one {signatures} for each job.
"""
import json
import sys

import numpy
from real_values import from_real, to_real
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def run(job):
    kernels = OpResolverType.BUILTIN_REF if job.get("reference") else OpResolverType.AUTO
    interpreter = Interpreter(model_path=job["model"], experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    real = job.get("real")
    values = numpy.fromfile(job["input"], dtype="float32" if real else given["dtype"]).reshape([-1, *given["shape"]])
    if real:
        values = from_real(values, given["dtype"], given["quantization_parameters"])
    with open(job["output"], "wb") as file:
        for value in values:
            interpreter.set_tensor(given["index"], value)
            interpreter.invoke()
            output = interpreter.get_tensor(made["index"])
            file.write((to_real(output, made["quantization_parameters"]) if real else output).tobytes())
    return {"signatures": interpreter.get_signature_list()}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        jobs = json.load(file)
    print(json.dumps([run(job) for job in jobs]))
