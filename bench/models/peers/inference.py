"""Times inference in a third-party runtime: inference.py RUNTIME MODEL INPUT RUNS ROUNDS [cpu]. Prints the mean of each round in µs, as JSON.

An inference consists of setting the input, running the model and reading the output. RUNTIME is `litert` (one thread) or `tflm`.
With `cpu`, the times are CPU times of the process.
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
clock = time.process_time if sys.argv[6:] == ["cpu"] else time.perf_counter
means = []
for _ in range(rounds + 1):
    started = clock()
    for _ in range(runs):
        infer(value)
    means.append((clock() - started) / runs * 1e6)
print(json.dumps(means[1:]))
