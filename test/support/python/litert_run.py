"""Runs .tflite files in Google's LiteRT. argv[1]: a JSON list of jobs {model, input, output, outputs, reference, real}.

`input` contains raw elements for any number of runs, with all inputs in order. `output` receives the raw elements of each run, for the
first `outputs` outputs in order (default: one). `reference` selects the reference kernels instead of the default (XNNPACK) ones. `real`:
input and output are float32, regardless of the model's types. Prints a JSON list, one {signatures} for each job.
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
    given, made = interpreter.get_input_details(), interpreter.get_output_details()[: job.get("outputs", 1)]
    real = job.get("real")
    values = numpy.fromfile(job["input"], dtype="float32" if real else given[0]["dtype"])
    ends = numpy.cumsum([int(numpy.prod(each["shape"])) for each in given])
    parts = []
    for each, part in zip(given, numpy.split(values.reshape([-1, ends[-1]]), ends[:-1], axis=1)):
        part = numpy.ascontiguousarray(part).reshape([-1, *each["shape"]])
        parts.append(from_real(part, each["dtype"], each["quantization_parameters"]) if real else part)
    with open(job["output"], "wb") as file:
        for run in range(len(values) // ends[-1]):
            for each, part in zip(given, parts):
                interpreter.set_tensor(each["index"], part[run])
            interpreter.invoke()
            for each in made:
                output = interpreter.get_tensor(each["index"])
                file.write((to_real(output, each["quantization_parameters"]) if real else output).tobytes())
    return {"signatures": interpreter.get_signature_list()}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        jobs = json.load(file)
    print(json.dumps([run(job) for job in jobs]))
