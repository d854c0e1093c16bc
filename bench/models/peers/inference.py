"""Times inference in a third-party runtime: inference.py RUNTIME MODEL INPUT RUNS ROUNDS. Prints the mean of each round in µs, as JSON.

An inference consists of setting the input, running the model and reading the output. RUNTIME is `litert` (one thread) or `tflm`.
"""
import json
import sys
import time

import numpy

kind, model, given, runs, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
if kind == "litert":
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def infer(value):
        interpreter.set_tensor(into["index"], value)
        interpreter.invoke()
        return interpreter.get_tensor(out["index"])
else:
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(model)
    into = interpreter.get_input_details(0)

    def infer(value):
        interpreter.set_input(value, 0)
        interpreter.invoke()
        return interpreter.get_output(0)


value = numpy.fromfile(given, dtype=into["dtype"]).reshape(into["shape"])
means = []
for _ in range(rounds + 1):
    started = time.perf_counter()
    for _ in range(runs):
        infer(value)
    means.append((time.perf_counter() - started) / runs * 1e6)
print(json.dumps(means[1:]))
