"""Runs .tflite files in TFLite Micro. argv[1]: a JSON list of jobs {model, input, output, inputs, outputs, real, smallest, arenas}.

`input` contains raw elements for any number of runs, for the first `inputs` inputs in order (default: one). `output` receives the raw
elements of each run, for the first `outputs` outputs in order (default: one). `arena`: its size. `real`: input and output are float32, regardless of the
model's types. Prints a JSON list with {head, tail, smallest, works} for each job: the arena reported by TFLite Micro, (on request) the
smallest one that works, and whether each of `arenas` works; or {refused}, the reason why it rejected the model. `guarded`: each job runs
in a separate process, and the result is only {} or {refused}.
"""
import json
import os
import re
import signal
import sys
import tempfile

import numpy
from real_values import from_real, to_real
from tflite_micro.python.tflite_micro import runtime


def captured(action):
    """Returns the C++ output on stderr while `action` runs."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            action()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        return file.read().decode(errors="replace")


def works(model, size):
    """Whether the model can be prepared in an arena of this size. This is tried in a child process, because some sizes make the process
    crash."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            runtime.Interpreter.from_bytes(model, arena_size=size)
            os._exit(0)
        except Exception:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def smallest(model, reported):
    """Returns the smallest arena, to within 8 bytes. The reported size may be too small, because planning needs temporary memory."""
    low, high = 0, 2 * reported + 1024
    while high - low > 8:
        middle = (low + high) // 2
        if works(model, middle):
            high = middle
        else:
            low = middle
    return high


def run(job):
    with open(job["model"], "rb") as file:
        model = file.read()
    try:
        arena = {"arena_size": job["arena"]} if "arena" in job else {}
        interpreter = runtime.Interpreter.from_bytes(model, **arena)
    except Exception as error:
        open(job["output"], "wb").close()
        return {"refused": str(error)}
    details = [interpreter.get_input_details(index) for index in range(job.get("inputs", 1))]
    real = job.get("real")
    values = numpy.fromfile(job["input"], dtype="float32" if real else details[0]["dtype"])
    ends = numpy.cumsum([int(numpy.prod(each["shape"])) for each in details])
    size = int(ends[-1])
    if job.get("guarded"):
        # A mutated model may have inputs of another size: runs as many as the data contains.
        values = values[: len(values) // size * size]
    parts = []
    for each, part in zip(details, numpy.split(values.reshape([-1, size]), ends[:-1], axis=1)):
        part = numpy.ascontiguousarray(part).reshape([-1, *each["shape"]])
        parts.append(from_real(part, each["dtype"], each["quantization_parameters"]) if real else part)
    with open(job["output"], "wb") as file:
        for run in range(len(values) // size):
            for index, part in enumerate(parts):
                interpreter.set_input(part[run], index)
            interpreter.invoke()
            for index in range(job.get("outputs", 1)):
                output = interpreter.get_output(index)
                if real:
                    output = to_real(output, interpreter.get_output_details(index)["quantization_parameters"])
                file.write(output.tobytes())
    report = captured(interpreter.print_allocations)

    def figure(name):
        found = re.search(rf"Arena allocation {name} (\d+)", report)
        return int(found.group(1)) if found else None

    head, tail = figure("head"), figure("tail")
    return {
        "head": head,
        "tail": tail,
        "smallest": smallest(model, head + tail) if job.get("smallest") else None,
        "works": [works(model, size) for size in job.get("arenas", [])],
    }


def guarded(job):
    """Runs in a child process, because an inconsistent model may make the process crash."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.alarm(20)
        try:
            os._exit(3 if "refused" in run(job) else 0)
        except BaseException:
            os._exit(4)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        return {}
    open(job["output"], "wb").close()
    return {"refused": "refused" if status == 3 << 8 else f"it ended with status {status}"}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        jobs = json.load(file)
    print(json.dumps([guarded(job) if job.get("guarded") else run(job) for job in jobs]))
