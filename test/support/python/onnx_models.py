"""Writes ONNX models with ONNX Runtime's outputs.

onnx_models.py nodes FOLDER: the onnx package's tests of operators, as NAME.onnx and NAME.json. A test's first float input (or else its
first int32 or int64 input) stays an input, and the others become initializers, as written by exporters. Without such an input, a first
input of truth values or other real numbers is converted from float. Operators that an import computes have constants only, and their result
is added to an input. Outputs of other types are converted to float. An output after the first has its own files. index.json lists all tests with their operators, and the reason if a test was skipped.
onnx_models.py networks FOLDER: networks as exported by PyTorch, and scikit-learn's estimators converted by skl2onnx.
onnx_models.py keras FOLDER LIBRARIES: Keras models converted by tf2onnx, in TensorFlow's environment; LIBRARIES is the folder of the onnx
package.
onnx_models.py choices FOLDER: networks that compare values, and choose by the result.
onnx_models.py wide FOLDER: networks with tensors of seven or eight dimensions.
onnx_models.py ends FOLDER: networks with several inputs and outputs.
onnx_models.py quantized FOLDER LIBRARIES: networks quantized with ONNX Runtime's static quantization, in the formats QDQ and QOperator;
LIBRARIES is the folder of the ml_dtypes package, which it imports.
onnx_models.py stream FOLDER DATA WAV: the forms of Silero VAD in DATA over the frames of an 8 kHz sound at twice its rate, and of a second of silence, with their states carried.
onnx_models.py answers FOLDER: adds ONNX Runtime's outputs to the models that `keras` wrote.
"""
import glob
import json
import os
import sys

import numpy as np

kind, folder = sys.argv[1:3]
os.makedirs(folder, exist_ok=True)
if kind in ("keras", "quantized"):
    sys.path.append(sys.argv[3])
import onnx
from onnx import helper as h
from onnx import numpy_helper

random = np.random.default_rng(4)


def save(name, model, inputs, output=None, values=None):
    """Writes a model, and ONNX Runtime's outputs for each of the inputs (with the given values for other inputs)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ends = [o for o in session.get_outputs() if "float" in o.type and o.type.startswith("tensor")]
    chosen = output or ends[0].name
    own = [i for i in session.get_inputs() if i.name not in (values or {})][0]
    rest = {}
    for i in session.get_inputs():
        if i.name in (values or {}):
            shape = [d if isinstance(d, int) else 1 for d in i.shape]
            rest[i.name] = np.full(shape, values[i.name], {"tensor(int64)": np.int64}.get(i.type, np.float32))
    answers = [session.run([chosen], {own.name: x, **rest})[0] for x in inputs]
    onnx.save(model, f"{folder}/{name}.onnx")
    numbers = lambda x: [float(v) if np.isfinite(v) else None for v in np.asarray(x, dtype=float).ravel()]
    about = {
        "shape": list(inputs[0].shape),
        "inputs": [numbers(x) for x in inputs],
        "outputShape": list(answers[0].shape),
        "outputs": [numbers(y) for y in answers],
        "values": values or {},
        **({"output": chosen} if output or len(ends) > 1 else {}),
    }
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump(about, file)
    return name


def numbers_of(array):
    return [float(value) for value in np.asarray(array, dtype=float).ravel()]


def save_ends(name, model, rows=4):
    """Writes a model with several inputs or outputs, and ONNX Runtime's outputs for random inputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    about = {"rows": []}
    for _ in range(rows):
        given = {i.name: random.normal(size=[d if isinstance(d, int) else 1 for d in i.shape]).astype(np.float32) for i in session.get_inputs()}
        ends = lambda values: [{"name": key, "shape": list(value.shape), "values": numbers_of(value)} for key, value in values]
        names = [o.name for o in session.get_outputs()]
        about["rows"].append({"inputs": ends(given.items()), "outputs": ends(zip(names, session.run(names, given)))})
    onnx.save(model, f"{folder}/{name}.onnx")
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump(about, file)
    return name


def save_quantized(name, net, per_channel, activations, operators=False, rows=60):
    """Quantizes a network with ONNX Runtime, and writes its outputs for random inputs, with the output's scale."""
    import onnxruntime
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self.rows = iter([random.normal(size=[1, *net.shape[1:]]).astype(np.float32) for _ in range(40)])

        def get_next(self):
            row = next(self.rows, None)
            return None if row is None else {"x": row}

    float_path, ready, out = (f"{folder}/{name}.{end}" for end in ("float.onnx", "ready.onnx", "onnx"))
    onnx.save(net.model(), float_path)
    quant_pre_process(float_path, ready, skip_symbolic_shape=True)
    q.quantize_static(
        ready,
        out,
        Reader(),
        quant_format=q.QuantFormat.QOperator if operators else q.QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=q.QuantType.QUInt8 if activations == "uint8" else q.QuantType.QInt8,
        weight_type=q.QuantType.QInt8,
    )
    # Without this option, sums of products saturate at 16 bits on processors without VNNI, which is up to 29 steps off.
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(out, options, providers=["CPUExecutionProvider"])
    inputs = [random.normal(size=[1, *net.shape[1:]]).astype(np.float32) for _ in range(rows)]
    answers = [session.run(None, {"x": x})[0] for x in inputs]
    model = onnx.load(out)
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    last = [node for node in model.graph.node if node.op_type == "DequantizeLinear"][-1]
    about = {
        "shape": list(inputs[0].shape),
        "inputs": [numbers_of(x) for x in inputs],
        "outputShape": list(answers[0].shape),
        "outputs": [numbers_of(y) for y in answers],
        "scale": float(constants[last.input[1]]),
        "values": {},
    }
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump(about, file)
    return name


class Skipped(Exception):
    """The reason why an operator test cannot be compared."""


quantizing = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul"}


def dequantized(integers, scale, zero, attributes):
    """Returns the real numbers that ONNX Runtime computes for integers."""
    import onnxruntime

    arrays = [array for array in (integers, scale, zero) if array is not None]
    names = ["q", "s", "z"][: len(arrays)]
    value = lambda name, array: h.make_tensor_value_info(name, h.np_dtype_to_tensor_dtype(array.dtype), array.shape)
    node = h.make_node("DequantizeLinear", names, ["y"], **attributes)
    end = h.make_tensor_value_info("y", onnx.TensorProto.FLOAT, integers.shape)
    graph = h.make_graph([node], "g", [value(*each) for each in zip(names, arrays)], [end])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, arrays)))[0]


def with_real_ends(model, given, expected):
    """Adds the nodes by which exporters lead from real numbers to integers and back. Returns the inputs, the outputs and details."""
    node = model.graph.node[0]
    rest = {}
    if len(model.graph.node) == 1 and node.op_type in quantizing:
        for each in model.opset_import:
            each.version = max(each.version, 13)
        attributes = {each.name: h.get_attribute_value(each) for each in node.attribute if each.name in ("axis", "block_size")}
        inputs, output = list(node.input), node.output[0]
        if node.op_type != "QuantizeLinear":
            given = [dequantized(given[0], *(given[1:3] + [None])[:2], attributes), *given[1:]]
            model.graph.input[0].CopyFrom(h.make_tensor_value_info("real", onnx.TensorProto.FLOAT, given[0].shape))
            model.graph.node.insert(0, h.make_node("QuantizeLinear", ["real", *inputs[1:3]], [inputs[0]], **attributes))
        if node.op_type != "DequantizeLinear":
            at = {"QuantizeLinear": 1, "QLinearConv": 6, "QLinearMatMul": 6}[node.op_type]
            scale, zero = (given[at : at + 2] + [None])[:2]
            model.graph.node.append(h.make_node("DequantizeLinear", [output, *inputs[at : at + 2]], ["reals"], **attributes))
            ends = np.iinfo(expected[0].dtype)
            low, high = (dequantized(np.full_like(expected[0], end), scale, zero, attributes) for end in (ends.min, ends.max))
            rest = {"low": numbers_of(low), "high": numbers_of(high), "step": numbers_of((high - low) / (float(ends.max) - ends.min))}
            expected = [dequantized(expected[0], scale, zero, attributes)]
            model.graph.output[0].CopyFrom(h.make_tensor_value_info("reals", onnx.TensorProto.FLOAT, expected[0].shape))
    else:
        for place, end in enumerate(model.graph.output):
            if expected[place].dtype.kind in "fiub" and expected[place].dtype != np.float32:
                model.graph.node.append(h.make_node("Cast", [end.name], [f"{end.name}_real"], to=onnx.TensorProto.FLOAT))
                end.CopyFrom(h.make_tensor_value_info(f"{end.name}_real", onnx.TensorProto.FLOAT, expected[place].shape))
                expected[place] = expected[place].astype(np.float32)
    return given, expected, rest


computed = {"Cast", "CastLike", "Constant", "ConstantOfShape", "EyeLike", "Range", "Shape", "Size"}


def as_constant(model, tensors, expected):
    """Adds the results of nodes that an import computes to an input, so that the model depends on it. Returns the input and the results."""
    for value, tensor in zip(model.graph.input, tensors):
        tensor.name = value.name
        model.graph.initializer.append(tensor)
    del model.graph.input[:]
    end = model.graph.output[0]
    # An empty result stays empty if a single number is added.
    shape = [max(1, size) for size in expected.shape]
    info = lambda name: h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape if name == "added" else expected.shape)
    model.graph.node.append(h.make_node("Cast", [end.name], ["as_real"], to=onnx.TensorProto.FLOAT))
    model.graph.node.append(h.make_node("Add", ["as_real", "added"], ["sum"]))
    model.graph.input.append(info("added"))
    end.CopyFrom(info("sum"))
    added = random.normal(size=shape).astype(np.float32)
    return [added], [decoded(expected).astype(np.float32) + added]


def decoded(x):
    """The numbers of an array that holds the codes of float8 elements."""
    kind = (x.dtype.names or [None])[0] or (x.dtype.descr[0][0] if x.dtype.descr else None)
    if kind in ("e4m3fn", "e4m3fnuz"):
        return numpy_helper.float8e4m3_to_float32(x.astype(np.uint8), fn=True, uz=kind == "e4m3fnuz")
    if kind in ("e5m2", "e5m2fnuz"):
        return numpy_helper.float8e5m2_to_float32(x.astype(np.uint8), fn=kind == "e5m2fnuz", uz=kind == "e5m2fnuz")
    return x


def from_real(model, given):
    """Converts a first input of truth values or other real numbers from float32."""
    if given and given[0].dtype in (np.bool_, np.float16, np.float64):
        value = model.graph.input[0]
        kind = value.type.tensor_type.elem_type
        model.graph.node.insert(0, h.make_node("Cast", ["real"], [value.name], to=kind))
        given = [given[0].astype(np.float32), *given[1:]]
        # And, Or, Xor and Not are the same since opset 7.
        for each in model.opset_import:
            each.version = max(each.version, 13) if each.domain == "" else each.version
        if all(each.domain != "" for each in model.opset_import):
            model.opset_import.append(h.make_opsetid("", 21))
        value.CopyFrom(h.make_tensor_value_info("real", onnx.TensorProto.FLOAT, given[0].shape))
    return given


def node_test(folder_of_test):
    """Writes an operator test with the outputs of ONNX Runtime and of the wheel. Returns the names for further outputs. Raises Skipped."""
    model = onnx.load(folder_of_test + "/model.onnx")
    ends = [*model.graph.input, *model.graph.output]
    if any(not end.type.HasField("tensor_type") or end.type.tensor_type.elem_type == onnx.TensorProto.STRING for end in ends):
        raise Skipped("not tensors of numbers")
    read = lambda kind, count: [onnx.load_tensor(f"{folder_of_test}/test_data_set_0/{kind}_{i}.pb") for i in range(count)]
    tensors = read("input", len(model.graph.input))
    given, expected = ([numpy_helper.to_array(each) for each in list] for list in (tensors, read("output", len(model.graph.output))))
    # A tensor whose size follows from the inputs' values, such as a window of a given length: an import must know them.
    is_sized = all(x.ndim == 0 for x in given) and expected[0].ndim > 0
    is_computed = is_sized or {node.op_type for node in model.graph.node} <= computed
    is_fixed = is_computed and len(expected) == 1
    try:
        if is_fixed and not (given and given[0].dtype == np.float32 and model.graph.node[0].op_type.startswith("Cast")):
            given, expected, rest = *as_constant(model, tensors, expected[0]), {}
        else:
            given, expected, rest = with_real_ends(model, given, expected)
    except Exception:
        raise Skipped("a type that ONNX Runtime does not support here")
    if not any(x.dtype == np.float32 for x in given):
        given = from_real(model, given)
    fits = lambda kinds: [i for i, x in enumerate(given) if x.dtype in kinds and x.size > 0 and np.isfinite(x).all()]
    # Later integer inputs are axes and shapes.
    live = [*fits([np.float32]), *[i for i in fits([np.int32, np.int64]) if i == 0]]
    if not live:
        raise Skipped("no finite float32, int32 or int64 input")
    if model.graph.node[0].op_type == "OneHot":
        # Its depth is float, too.
        live = [0]
    names = [value.name for value in model.graph.input]
    for i in reversed(range(len(names))):
        if i != live[0]:
            model.graph.initializer.append(numpy_helper.from_array(given[i], names[i]))
            del model.graph.input[i]
    name = os.path.basename(folder_of_test)
    ends = [end.name for end in model.graph.output]
    real = [end.name for end in model.graph.output if end.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    # Other outputs do not depend on the input's values, such as the mask of a Dropout.
    known, constant = {names[live[0]]}, {"Shape": 0, "Size": 0, "Dropout": 1}
    for node in model.graph.node:
        if known & set(node.input):
            known |= set(node.output[: constant.get(node.op_type)])
    real = [end for place, end in enumerate(real) if place == 0 or end in known]
    files = {end: name if place == 0 else f"{name}-{end}" for place, end in enumerate(real)}
    try:
        if not real:
            save(name, model, [given[live[0]]])
        for end, file in files.items():
            save(file, model, [given[live[0]]], end)
    except Exception:
        raise Skipped("not supported by ONNX Runtime")
    for end, file in files.items():
        path = f"{folder}/{file}.json"
        about = json.load(open(path))
        finite = [float(value) if np.isfinite(value) else None for value in np.asarray(expected[ends.index(end)], dtype=float).ravel()]
        with open(path, "w") as out:
            json.dump({**about, "wheel": finite, **rest}, out)
    return [file for file in files.values() if file != name]


def nodes():
    index = []
    for test in sorted(glob.glob(os.path.join(os.path.dirname(onnx.__file__), "backend/test/data/node/test_*"))):
        entry = {"name": os.path.basename(test), "ops": sorted({node.op_type for node in onnx.load(test + "/model.onnx").graph.node})}
        try:
            entry["others"] = node_test(test)
        except Skipped as reason:
            entry["skipped"] = str(reason)
        index.append(entry)
    return index


class Net:
    """Builds a network node by node, with random weights."""

    def __init__(self, shape, opset=17, batch="batch", words=None):
        """@param words the input contains positions in a table of so many words, instead of real numbers"""
        self.shape, self.opset, self.nodes, self.weights, self.count = shape, opset, [], [], 0
        self.words = words
        kind = onnx.TensorProto.INT64 if words else onnx.TensorProto.FLOAT
        self.input = h.make_tensor_value_info("x", kind, [batch, *shape[1:]])
        self.last = "x"

    def constant(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, *shape):
        scale = 1 / np.sqrt(max(1, np.prod(shape[1:])))
        return self.constant((random.normal(size=shape) * scale).astype(np.float32))

    def ints(self, *values):
        return self.constant(np.array(values, dtype=np.int64))

    def add(self, op, *inputs, outputs=1, **attributes):
        self.count += 1
        names = [f"/layer{self.count}/{op}_output_{k}" for k in range(outputs)]
        self.nodes.append(h.make_node(op, list(inputs) or [self.last], names, name=f"/layer{self.count}/{op}", **attributes))
        self.last = names[0]
        return names[0] if outputs == 1 else names

    def conv(self, out, into, kernel, x=None, op="Conv", **attributes):
        groups = attributes.get("group", 1)
        w = self.weight(out, into // groups, *kernel) if op == "Conv" else self.weight(into, out // groups, *kernel)
        return self.add(op, x or self.last, w, self.weight(out), kernel_shape=list(kernel), **attributes)

    def dense(self, out, into):
        return self.add("Gemm", self.last, self.weight(out, into), self.weight(out), transB=1)

    def norm(self, channels):
        positive = lambda: self.constant(random.uniform(0.5, 2, channels).astype(np.float32))
        return self.add("BatchNormalization", self.last, positive(), self.weight(channels), self.weight(channels), positive())

    def model(self, inputs=(), outputs=()):
        """@param inputs additional inputs, with their shapes @param outputs the outputs, instead of the last value"""
        value = lambda name, shape=None: h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        ends = [value(name) for name in outputs or [self.last]]
        starts = [self.input, *(value(name, shape) for name, shape in inputs)]
        graph = h.make_graph(self.nodes, "main_graph", starts, ends, self.weights)
        return h.make_model(graph, opset_imports=[h.make_opsetid("", self.opset)], producer_name="pytorch", ir_version=8)

    def save(self, name):
        size = [1, *self.shape[1:]]
        make = lambda: random.integers(self.words, size=size) if self.words else random.normal(size=size).astype(np.float32)
        return save(name, self.model(), [make() for _ in range(4)])


def torch_networks():
    for opset in (11, 13, 17, 21):
        n = Net([1, 10], opset)
        n.dense(16, 10), n.add("Relu"), n.dense(8, 16), n.add("Tanh"), n.dense(3, 8), n.add("Softmax", axis=1)
        yield n.save(f"mlp-{opset}")
        n = Net([1, 3, 16, 16], opset)
        n.conv(8, 3, (3, 3), pads=[1, 1, 1, 1], strides=[2, 2]), n.norm(8), n.add("Relu")
        n.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        n.conv(8, 8, (3, 3), pads=[1, 1, 1, 1], group=8), n.norm(8), n.add("Clip", n.last, n.constant(np.float32(0)), n.constant(np.float32(6)))
        n.conv(12, 8, (1, 1)), n.add("GlobalAveragePool"), n.add("Flatten"), n.dense(4, 12)
        yield n.save(f"mobile-{opset}")
    n = Net([1, 3, 12, 12])
    n.conv(4, 3, (3, 3), pads=[1, 1, 1, 1]), n.add("Relu"), n.add("Flatten"), n.dense(5, 4 * 144)
    yield n.save("cnn-flatten")
    n = Net([1, 3, 8, 8])
    a = n.conv(6, 3, (3, 3), pads=[1, 1, 1, 1])
    n.norm(6), n.add("Relu"), n.conv(6, 6, (3, 3), pads=[1, 1, 1, 1]), n.norm(6), n.add("Add", n.last, a), n.add("Relu")
    n.add("ReduceMean", axes=[2, 3], keepdims=0), n.dense(3, 6)
    yield n.save("residual")
    n = Net([1, 4, 10, 10])
    a = n.add("Relu", n.conv(8, 4, (1, 1)))
    s = n.add("GlobalAveragePool", a)
    n.conv(2, 8, (1, 1)), n.add("Relu"), n.conv(8, 2, (1, 1)), n.add("HardSigmoid", alpha=1 / 6, beta=0.5)
    n.add("Mul", a, n.last), n.add("Flatten"), n.dense(2, 800)
    yield n.save("squeeze-excite")
    n = Net([1, 3, 12, 12])
    a = n.add("LeakyRelu", n.conv(4, 3, (3, 3), pads=[1, 1, 1, 1]), alpha=0.1)
    n.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2]), n.conv(8, 4, (3, 3), pads=[1, 1, 1, 1]), n.add("Relu")
    n.conv(4, 8, (2, 2), op="ConvTranspose", strides=[2, 2])
    n.add("Concat", n.last, a, axis=1), n.conv(1, 8, (1, 1)), n.add("Sigmoid")
    yield n.save("unet")
    n = Net([1, 3, 6, 6])
    n.conv(4, 3, (3, 3)), n.add("Resize", n.last, "", n.constant(np.array([1, 1, 2, 2], np.float32)), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    n.conv(2, 4, (3, 3)), n.add("Resize", n.last, "", n.constant(np.array([1, 1, 1.5, 1.5], np.float32)), mode="linear", coordinate_transformation_mode="pytorch_half_pixel")
    yield n.save("upsample")
    n = Net([1, 8, 6, 6])
    n.conv(8, 8, (1, 1), group=2)
    n.add("Reshape", n.last, n.ints(1, 2, 4, 6, 6)), n.add("Transpose", perm=[0, 2, 1, 3, 4]), n.add("Reshape", n.last, n.ints(1, 8, 6, 6))
    n.conv(8, 8, (3, 3), group=8, pads=[1, 1, 1, 1]), n.add("ReduceMean", axes=[2, 3], keepdims=0)
    yield n.save("shuffle")
    n = Net([1, 3, 40])
    n.conv(8, 3, (5,), pads=[2, 2]), n.norm(8), n.add("Relu"), n.add("MaxPool", kernel_shape=[2], strides=[2])
    n.conv(8, 8, (3,), dilations=[2], pads=[2, 2]), n.add("PRelu", n.last, n.weight(8, 1)), n.add("AveragePool", kernel_shape=[4], strides=[4])
    n.add("Flatten"), n.dense(3, 40)
    yield n.save("conv1d")
    n = Net([1, 4, 8, 8])
    parts = n.add("Split", n.conv(8, 4, (3, 3), pads=[1, 1, 1, 1]), n.ints(4, 4), outputs=2, axis=1)
    n.add("Mul", parts[0], n.add("Sigmoid", parts[1])), n.add("Slice", n.last, n.ints(1, 1), n.ints(7, 2**63 - 1), n.ints(2, 3))
    n.add("Pad", n.last, n.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"), n.add("ReduceMax", n.last, axes=[2, 3], keepdims=0), n.dense(2, 4)
    yield n.save("gated")
    for name, gates in (("LSTM", 4), ("GRU", 3)):
        for way, count in (("forward", 1), ("bidirectional", 2)):
            n = Net([1, 6, 5])
            n.add("Transpose", perm=[1, 0, 2])
            w, r, b = n.weight(count, gates * 7, 5), n.weight(count, gates * 7, 7), n.weight(count, gates * 14)
            more = {"linear_before_reset": 1} if name == "GRU" else {}
            n.add(name, n.last, w, r, b, hidden_size=7, direction=way, **more)
            n.add("Transpose", perm=[2, 0, 1, 3]), n.add("Reshape", n.last, n.ints(1, 6, count * 7))
            n.add("Gather", n.last, n.constant(np.int64(-1)), axis=1), n.dense(3, count * 7)
            yield n.save(f"{name.lower()}-{way}")
    n = Net([1, 6, 8])
    m = n.add("ReduceMean", axes=[-1])
    d = n.add("Sub", "x", m)
    v = n.add("ReduceMean", n.add("Pow", d, n.constant(np.float32(2))), axes=[-1])
    n.add("Div", d, n.add("Sqrt", n.add("Add", v, n.constant(np.float32(1e-5)))))
    n.add("MatMul", n.last, n.weight(8, 4)), n.add("Add", n.last, n.weight(4)), n.add("Relu"), n.add("ReduceMean", axes=[1], keepdims=0)
    yield n.save("layer-norm-11")
    n = Net([1, 6, 8])
    n.add("LayerNormalization", "x", n.weight(8), n.weight(8), axis=-1), n.add("MatMul", n.last, n.weight(8, 4)), n.add("Elu")
    yield n.save("layer-norm-17")
    n = Net([1, 5])
    n.add("Sub", "x", n.weight(5)), n.add("Div", n.last, n.constant(np.full(5, 2.5, np.float32))), n.dense(4, 5), n.add("HardSwish"), n.dense(1, 4), n.add("Sigmoid")
    yield n.save("standardized")
    yield from attention_networks()
    yield from gelu_networks()
    n = Net([1, 3, 7, 9], batch=1)
    shape = n.add("Shape")
    first = n.add("Unsqueeze", n.add("Gather", shape, n.constant(np.int64(0)), axis=0), n.ints(0))
    x = n.conv(4, 3, (3, 2), x="x", auto_pad="SAME_UPPER", strides=[2, 2])
    n.add("Reshape", x, n.add("Concat", first, n.ints(-1), axis=0)), n.dense(2, 4 * 4 * 5)
    yield n.save("shape-arithmetic")


def attention(n, width, heads, steps, x):
    """Self-attention as PyTorch exports it: the heads' queries, keys and values are parts of one product."""
    size = width // heads
    whole = n.add("Add", n.add("MatMul", x, n.weight(width, 3 * width)), n.weight(3 * width))
    parts = n.add("Split", whole, n.ints(width, width, width), outputs=3, axis=-1)
    split = lambda part, perm: n.add("Transpose", n.add("Reshape", part, n.ints(1, steps, heads, size)), perm=perm)
    query, key, value = split(parts[0], [0, 2, 1, 3]), split(parts[1], [0, 2, 3, 1]), split(parts[2], [0, 2, 1, 3])
    scores = n.add("Div", n.add("MatMul", query, key), n.constant(np.float32(np.sqrt(size))))
    mixed = n.add("MatMul", n.add("Softmax", scores, axis=-1), value)
    merged = n.add("Reshape", n.add("Transpose", mixed, perm=[0, 2, 1, 3]), n.ints(1, steps, width))
    return n.add("Add", n.add("MatMul", merged, n.weight(width, width)), n.weight(width))


def attention_networks():
    n = Net([1, 6, 8])
    x = n.add("LayerNormalization", n.add("Add", "x", attention(n, 8, 2, 6, "x")), n.weight(8), n.weight(8), axis=-1)
    n.add("MatMul", x, n.weight(8, 16)), n.add("Relu"), n.add("MatMul", n.last, n.weight(16, 8))
    n.add("LayerNormalization", n.add("Add", x, n.last), n.weight(8), n.weight(8), axis=-1)
    n.add("ReduceMean", axes=[1], keepdims=0), n.dense(3, 8)
    yield n.save("transformer")
    # Patches of an image, and the first one's result, as in a vision transformer.
    n = Net([1, 3, 12, 12])
    n.conv(8, 3, (4, 4), strides=[4, 4]), n.add("Reshape", n.last, n.ints(1, 8, 9)), n.add("Transpose", perm=[0, 2, 1])
    x = n.add("Add", n.last, n.weight(1, 9, 8))
    n.add("Add", x, attention(n, 8, 2, 9, x)), n.add("Gather", n.last, n.constant(np.int64(0)), axis=1), n.dense(4, 8)
    yield n.save("patches")
    # One head, with a transposed product, over the time steps of a convolution.
    n = Net([1, 3, 16])
    n.conv(6, 3, (3,), pads=[1, 1]), n.add("Relu")
    steps = n.add("Transpose", perm=[0, 2, 1])
    key = n.add("Transpose", n.add("MatMul", steps, n.weight(6, 6)), perm=[0, 2, 1])
    weights = n.add("Softmax", n.add("MatMul", steps, key), axis=-1)
    n.add("MatMul", weights, steps), n.add("ReduceMax", axes=[1], keepdims=0), n.dense(2, 6)
    yield n.save("attention-conv1d")
    # Correlations of channels.
    n = Net([1, 4, 6, 6])
    rows = n.add("Reshape", n.conv(5, 4, (3, 3), pads=[1, 1, 1, 1]), n.ints(5, 36))
    n.add("Gemm", rows, rows, transB=1, alpha=1 / 36), n.add("Reshape", n.last, n.ints(1, 25)), n.dense(3, 25)
    yield n.save("gram")


def gelu(n, x):
    """The function as PyTorch exports it before operator set 20."""
    curve = n.add("Add", n.add("Erf", n.add("Div", x, n.constant(np.float32(np.sqrt(2))))), n.constant(np.float32(1)))
    return n.add("Mul", n.add("Mul", x, curve), n.constant(np.float32(0.5)))


def gelu_networks():
    n = Net([1, 10])
    gelu(n, n.dense(16, 10)), n.dense(8, 16), gelu(n, n.last), n.dense(3, 8)
    yield n.save("gelu-mlp")
    n = Net([1, 6, 8])
    x = n.add("LayerNormalization", n.add("Add", "x", attention(n, 8, 2, 6, "x")), n.weight(8), n.weight(8), axis=-1)
    gelu(n, n.add("MatMul", x, n.weight(8, 16))), n.add("MatMul", n.last, n.weight(16, 8)), n.add("Add", x, n.last)
    n.add("ReduceMean", axes=[1], keepdims=0), n.dense(3, 8)
    yield n.save("gelu-transformer")
    for approximate in ("none", "tanh"):
        n = Net([1, 3, 12, 12], 20)
        n.conv(8, 3, (4, 4), strides=[4, 4]), n.add("Gelu", approximate=approximate), n.norm(8)
        n.conv(8, 8, (3, 3), pads=[1, 1, 1, 1], group=8), n.add("Gelu", approximate=approximate)
        n.add("GlobalAveragePool"), n.add("Flatten"), n.dense(4, 8)
        yield n.save(f"gelu-{approximate}")


def text_networks():
    n = Net([1, 12], words=50)
    n.add("Gather", n.weight(50, 8), "x", axis=0), n.add("ReduceMean", axes=[1], keepdims=0), n.dense(6, 8), n.add("Relu"), n.dense(3, 6)
    yield n.save("embedding-mean")
    n = Net([1, 20], words=30)
    n.add("Gather", n.weight(30, 6), "x"), n.add("Transpose", perm=[0, 2, 1])
    n.conv(8, 6, (3,)), n.add("Relu"), n.add("GlobalMaxPool"), n.add("Flatten"), n.dense(4, 8), n.add("Softmax", axis=1)
    yield n.save("embedding-conv1d")
    n = Net([1, 6], words=20)
    words = n.add("Gather", n.weight(20, 5), "x")
    n.add("Add", words, n.weight(1, 6, 5)), n.add("LayerNormalization", n.last, n.weight(5), n.weight(5), axis=-1)
    n.add("MatMul", n.last, n.weight(5, 5)), n.add("ReduceMax", axes=[1], keepdims=0), n.dense(2, 5)
    yield n.save("embedding-positions")
    n = Net([1, 6], words=20)
    n.add("Gather", n.weight(20, 5), "x"), n.add("Transpose", perm=[1, 0, 2])
    n.add("LSTM", n.last, n.weight(1, 28, 5), n.weight(1, 28, 7), n.weight(1, 56), hidden_size=7)
    n.add("Transpose", perm=[2, 0, 1, 3]), n.add("Reshape", n.last, n.ints(1, 6, 7)), n.add("Gather", n.last, n.constant(np.int64(-1)), axis=1), n.dense(3, 7)
    yield n.save("embedding-lstm")
    n = Net([1, 9], words=12)
    n.add("Unsqueeze", "x", n.ints(-1)), n.add("Equal", n.last, n.constant(np.arange(12)[None, None])), n.add("Cast", to=onnx.TensorProto.FLOAT)
    n.add("MatMul", n.last, n.weight(12, 4)), n.add("Tanh"), n.add("ReduceMean", axes=[1], keepdims=0), n.dense(2, 4)
    yield n.save("one-hot")
    n = Net([1, 7], words=40)
    n.add("Cast", "x", to=onnx.TensorProto.FLOAT), n.add("Mul", n.last, n.constant(np.float32(1 / 40))), n.dense(5, 7), n.add("Relu"), n.dense(2, 5)
    yield n.save("counts")


def choice_networks():
    """Networks that compare values, and choose by the result."""
    real = onnx.TensorProto.FLOAT
    number = lambda n, value: n.constant(np.float32(value))
    # Causal attention: PyTorch replaces the scores of later steps by minus infinity.
    n = Net([1, 6, 8])
    query, key = n.add("MatMul", "x", n.weight(8, 8)), n.add("Transpose", n.add("MatMul", "x", n.weight(8, 8)), perm=[0, 2, 1])
    scores = n.add("Mul", n.add("MatMul", query, key), number(n, 8**-0.5))
    later = n.constant(np.triu(np.ones((1, 6, 6), bool), 1))
    weights = n.add("Softmax", n.add("Where", later, number(n, -np.inf), scores), axis=-1)
    n.add("MatMul", weights, "x"), n.add("MatMul", n.last, n.weight(8, 3))
    yield n.save("causal-attention")
    # A mask that depends on the data: steps whose first value is negative are ignored.
    n = Net([1, 6, 8])
    first = n.add("Slice", "x", n.ints(0), n.ints(1), n.ints(2))
    used = n.add("GreaterOrEqual", first, number(n, 0))
    kept = n.add("Where", used, n.add("MatMul", "x", n.weight(8, 8)), number(n, 0))
    count = n.add("Max", n.add("ReduceSum", n.add("Cast", used, to=real), n.ints(1), keepdims=1), number(n, 1))
    n.add("Div", n.add("ReduceSum", kept, n.ints(1), keepdims=1), count), n.add("Flatten"), n.dense(3, 8)
    yield n.save("masked-mean")
    # A piecewise function of an image's channels, with conditions that are combined.
    n = Net([1, 3, 6, 6])
    a, b = n.conv(4, 3, (3, 3), pads=[1, 1, 1, 1]), n.conv(4, 3, (1, 1), x="x")
    either = n.add("Or", n.add("Less", a, b), n.add("Not", n.add("LessOrEqual", a, n.weight(4, 1, 1))))
    both = n.add("And", either, n.add("Greater", b, number(n, -0.2)))
    one = n.add("Xor", either, n.add("Cast", n.add("Relu", b), to=onnx.TensorProto.BOOL))
    chosen = n.add("Where", both, a, n.add("Where", one, n.add("Mul", b, number(n, 0.5)), n.add("Sign", a)))
    n.add("GlobalAveragePool", chosen), n.add("Flatten"), n.dense(3, 4)
    yield n.save("piecewise")
    # The vector of the class with the largest value.
    n = Net([1, 10], 18)
    best = n.add("ArgMax", n.dense(7, 10), axis=1, keepdims=0)
    n.add("Gather", n.weight(7, 5), best, axis=0), n.add("Celu", alpha=0.7), n.dense(3, 5), n.add("Mish")
    yield n.save("class-vector")
    # Positions along the channels of an image, and the parts of a window before its smallest value.
    n = Net([1, 3, 5, 7])
    places = n.add("Cast", n.add("ArgMax", n.conv(4, 3, (3, 3), pads=[1, 1, 1, 1]), axis=1), to=real)
    least = n.add("ArgMin", n.add("ReduceMean", "x", axes=[1, 2], keepdims=0), axis=1, keepdims=1)
    before = n.add("Less", n.constant(np.arange(7)[None]), least)
    n.add("Mul", places, n.add("Cast", before, to=real)), n.add("ReduceMean", n.last, axes=[2], keepdims=0), n.add("Flatten"), n.dense(2, 7)
    yield n.save("positions")
    # The similarity to three vectors, and its smooth maximum.
    n = Net([1, 6, 8], 18)
    n.add("Mul", n.add("LpNormalization", "x", axis=2), n.add("LpNormalization", "x", axis=1, p=1))
    n.add("MatMul", n.last, n.weight(8, 3)), n.add("ReduceLogSumExp", n.last, n.ints(1), keepdims=0), n.add("ReduceLogSum", n.add("Exp"), keepdims=1)
    yield n.save("smooth-maximum")
    # The three largest values of each row, beside the two smallest.
    n = Net([1, 5, 12])
    (most, _), x = n.add("TopK", "x", n.ints(3), outputs=2), "x"
    least, _ = n.add("TopK", x, n.ints(2), outputs=2, largest=0)
    n.add("Concat", most, least, axis=2), n.add("MatMul", n.last, n.weight(5, 4))
    yield n.save("largest-values")
    # Sums over time, and products of gates.
    n = Net([1, 10, 6])
    n.add("CumSum", n.add("MatMul", "x", n.weight(6, 6)), n.ints(1)), n.add("MatMul", n.last, n.weight(6, 6))
    n.add("ReduceProd", n.add("Sigmoid", n.add("Sinh", n.add("Mul", n.last, number(n, 0.3)))), axes=[2], keepdims=0)
    n.dense(3, 10)
    yield n.save("running-sums")
    # Attention with Einsum, and a tensor of three factors.
    n = Net([1, 6, 8])
    query, key = n.add("Einsum", "x", n.weight(8, 2, 4), equation="btc,chd->bhtd"), n.add("Einsum", "x", n.weight(2, 4, 8), equation="bsc,hdc->bhsd")
    scores = n.add("Softmax", n.add("Mul", n.add("Einsum", query, key, equation="bhtd, bhsd -> bhts"), number(n, 0.5)), axis=-1)
    n.add("Einsum", scores, "x", n.weight(2, 8, 3), equation="bhts,bsc,hcn->btn")
    yield n.save("einsum-attention")
    # Values beyond thresholds, in reverse order, cropped and selected.
    n = Net([1, 9, 8], 18)
    kept = n.add("Shrink", "x", lambd=0.5, bias=0.25)
    above = n.add("ThresholdedRelu", "x", alpha=0.7)
    turned = n.add("ReverseSequence", n.add("Add", kept, above), n.ints(6), time_axis=1, batch_axis=0)
    n.add("CenterCropPad", turned, n.ints(6, 10), axes=[1, 2]), n.add("Compress", n.last, n.constant(np.arange(10) % 3 > 0), axis=2)
    n.add("Mod", n.last, number(n, 1.5), fmod=1), n.add("MatMul", n.last, n.weight(6, 3))
    yield n.save("thresholds")
    # The most similar of four vectors, and the position of the largest value as one of five.
    n = Net([1, 8])
    one = n.add("MatMul", n.add("Hardmax", n.dense(4, 8)), n.weight(4, 5))
    two = n.add("OneHot", n.add("ArgMax", "x", axis=1, keepdims=0), n.ints(5), n.constant(np.float32([-0.5, 2])))
    n.add("Add", one, two), n.dense(3, 5)
    yield n.save("marked-positions")


def wide_networks():
    """Networks with tensors of seven or eight dimensions, which each operator of them treats in another way."""
    # Windows in three dimensions, as in a video transformer: its TRANSPOSE keeps seven separate dimensions.
    n = Net([1, 4, 4, 6, 5])
    n.add("Reshape", "x", n.ints(1, 2, 2, 2, 2, 3, 2, 5)), n.add("Transpose", perm=[0, 1, 3, 5, 2, 4, 6, 7])
    n.add("Reshape", n.last, n.ints(12, 8, 5)), n.add("MatMul", n.last, n.weight(5, 4)), n.add("Reshape", n.last, n.ints(1, 2, 2, 3, 2, 2, 2, 4))
    n.add("Transpose", perm=[0, 1, 4, 2, 5, 3, 6, 7]), n.add("Reshape", n.last, n.ints(1, 4, 4, 6, 4))
    yield n.save("video-windows")
    # Every other axis is reversed in order, so that no two of eight stay together.
    n = Net([1, 2, 3, 2, 2, 3, 2, 2])
    n.add("Transpose", perm=[0, 7, 5, 3, 1, 6, 4, 2]), n.add("Tanh"), n.add("Transpose", perm=[2, 0, 4, 1, 6, 3, 7, 5])
    yield n.save("eight-axes")
    # Arithmetic with constants of one axis each, and with values that lack some axes.
    n = Net([1, 2, 3, 2, 2, 3, 2])
    total = n.add("Add", "x", n.weight(3, 1, 1, 1, 1))
    mean = n.add("ReduceMean", total, axes=[2, 5], keepdims=1)
    n.add("Mul", n.add("Sub", total, mean), n.weight(1, 1, 1, 2, 2, 1, 2))
    n.add("Add", n.last, n.add("ReduceMax", "x", axes=[3, 4], keepdims=1)), n.add("Sigmoid")
    yield n.save("seven-axes")
    # Sums without the axes, and where a condition holds.
    n = Net([1, 2, 3, 2, 2, 3, 2], 13)
    positive = n.add("Where", n.add("Greater", "x", n.weight(2, 1, 1, 1)), "x", n.constant(np.float32(0.25)))
    n.add("ReduceSum", positive, n.ints(0, 3, 6), keepdims=0)
    yield n.save("sum-of-some-axes")
    # Pads, slices (also backward), parts side by side, and a Softmax over the last axis.
    n = Net([1, 2, 3, 2, 4, 3, 2])
    padded = n.add("Pad", "x", n.ints(0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0), n.constant(np.float32(0.5)))
    cut = n.add("Slice", padded, n.ints(1, -1, 0), n.ints(4, -6, 2), n.ints(2, 4, 5), n.ints(1, -2, 1))
    n.add("Concat", cut, n.add("Neg", cut), axis=3), n.add("Softmax", axis=6)
    yield n.save("moved-elements")
    # A softmax over an axis in the middle, and a product of matrices.
    n = Net([1, 2, 2, 2, 2, 3, 4])
    n.add("Softmax", axis=3), n.add("MatMul", n.last, n.weight(4, 5)), n.add("Flatten", axis=1)
    yield n.save("products")


def several_ends():
    n = Net([1, 3, 12, 12])
    n.conv(8, 3, (3, 3), pads=[1, 1, 1, 1], strides=[2, 2]), n.norm(8), n.add("Relu")
    trunk = n.add("Clip", n.conv(8, 8, (3, 3), pads=[1, 1, 1, 1], group=8), n.constant(np.float32(0)), n.constant(np.float32(6)))
    n.add("GlobalAveragePool"), n.add("Flatten"), n.dense(4, 8)
    scores = n.add("Softmax", axis=1)
    boxes = n.conv(4, 8, (1, 1), x=trunk)
    yield save_ends("two-heads", n.model(outputs=[scores, boxes]))
    n = Net([1, 2, 10])
    n.conv(4, 2, (3,)), n.add("Relu"), n.add("Flatten")
    n.add("Concat", n.last, "features", axis=1), n.dense(3, 4 * 8 + 5)
    yield save_ends("two-inputs", n.model([("features", [1, 5])]))
    n = Net([1, 6])
    n.dense(6, 6)
    total = n.add("Add", n.last, "b")
    last = n.add("Sigmoid", n.add("Sub", total, "a"))
    yield save_ends("three-inputs", n.model([("b", [1, 6]), ("a", [1, 6])], [last, total, "x"]))
    n = Net([5, 1, 4], batch=5)
    made = n.add("LSTM", "x", n.weight(1, 24, 4), n.weight(1, 24, 6), n.weight(1, 48), "", "h", "c", hidden_size=6, outputs=3)
    yield save_ends("lstm-states", n.model([("h", [1, 1, 6]), ("c", [1, 1, 6])], made))
    # Products of computed matrices: repeated along axes, with vectors, of five axes, and transposed.
    for name, left, right in (
        ("repeated", [2, 1, 3, 4], [3, 4, 5]),
        ("vector-left", [4], [3, 4, 5]),
        ("vector-right", [2, 3, 4], [4]),
        ("five-axes", [1, 2, 3, 2, 4], [1, 2, 3, 4, 3]),
    ):
        n = Net(left, batch=left[0])
        yield save_ends(f"product-{name}", n.model([("b", right)], [n.add("MatMul", "x", "b")]))
    n = Net([4, 3], batch=4)
    product = n.add("Gemm", "x", n.add("Tanh", "b"), n.weight(5), transA=1, transB=1, alpha=0.3, beta=2.0)
    yield save_ends("product-gemm", n.model([("b", [5, 4])], [product]))


def quantized_networks():
    def mlp():
        n = Net([1, 10])
        n.dense(16, 10), n.add("Relu"), n.dense(12, 16), n.add("Relu"), n.dense(3, 12)
        return n

    def classes():
        n = Net([1, 10])
        n.dense(16, 10), n.add("Tanh"), n.dense(4, 16), n.add("Softmax", axis=1)
        return n

    def cnn():
        n = Net([1, 3, 12, 12])
        n.conv(8, 3, (3, 3), pads=[1, 1, 1, 1], strides=[2, 2]), n.norm(8), n.add("Relu")
        n.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2]), n.conv(6, 8, (3, 3), pads=[1, 1, 1, 1]), n.add("Relu")
        n.add("Flatten"), n.dense(5, 54)
        return n

    def mobile():
        n = Net([1, 3, 12, 12])
        n.conv(8, 3, (3, 3), pads=[1, 1, 1, 1], strides=[2, 2]), n.norm(8), n.add("Relu")
        n.conv(8, 8, (3, 3), pads=[1, 1, 1, 1], group=8), n.norm(8), n.add("Relu")
        n.conv(12, 8, (1, 1)), n.add("GlobalAveragePool"), n.add("Flatten"), n.dense(4, 12)
        return n

    def residual():
        n = Net([1, 3, 8, 8])
        a = n.add("Relu", n.conv(6, 3, (3, 3), pads=[1, 1, 1, 1]))
        n.conv(6, 6, (3, 3), pads=[1, 1, 1, 1]), n.add("Add", n.last, a), n.add("Relu")
        n.add("Flatten"), n.dense(3, 384)
        return n

    def joined():
        n = Net([1, 3, 8, 8])
        a, b = n.add("Relu", n.conv(4, 3, (1, 1), x="x")), n.conv(4, 3, (3, 3), x="x", pads=[1, 1, 1, 1])
        n.add("Concat", a, b, axis=1), n.conv(2, 8, (1, 1)), n.add("Sigmoid")
        return n

    def conv1d():
        n = Net([1, 3, 24])
        n.conv(8, 3, (5,), pads=[2, 2]), n.norm(8), n.add("Relu"), n.add("MaxPool", kernel_shape=[2], strides=[2])
        n.conv(4, 8, (3,), pads=[1, 1]), n.add("Relu"), n.add("Flatten"), n.dense(3, 48)
        return n

    def gated():
        n = Net([1, 12])
        a = n.dense(8, 12)
        n.add("Mul", a, n.add("Sigmoid", a)), n.add("MatMul", n.last, n.weight(8, 4)), n.add("Add", n.last, n.weight(4))
        return n

    makers = [mlp, classes, cnn, mobile, residual, joined, conv1d, gated]
    for make in makers:
        for per_channel in (False, True):
            for activations in ("uint8", "int8"):
                kind = "channels" if per_channel else "tensor"
                yield save_quantized(f"{make.__name__}-{kind}-{activations}", make(), per_channel, activations)
    for make in (mlp, cnn, conv1d):
        yield save_quantized(f"{make.__name__}-operators", make(), False, "uint8", operators=True)


def estimators():
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = load_iris(return_X_y=True)
    x = x.astype(np.float32)
    for name, model, target in (
        ("linear", LinearRegression(), x[:, 0]),
        ("ridge", make_pipeline(StandardScaler(), Ridge()), x[:, 0]),
        ("logistic", LogisticRegression(max_iter=500), y),
        ("logistic-scaled", make_pipeline(StandardScaler(), LogisticRegression()), y),
        ("logistic-two", LogisticRegression(max_iter=500), y > 0),
        ("mlp", MLPClassifier([8], max_iter=50, random_state=1), y),
        ("mlp-tanh", make_pipeline(StandardScaler(), MLPClassifier([6, 5], activation="tanh", max_iter=50, random_state=1)), y),
        ("mlp-regressor", MLPRegressor(hidden_layer_sizes=[8], max_iter=50, random_state=1), x[:, 0]),
    ):
        model.fit(x, target)
        classifier = hasattr(model, "classes_") or hasattr(model, "predict_proba")
        exported = to_onnx(model, x[:1], options={id(model): {"zipmap": False}} if classifier else None, target_opset=17)
        yield save(f"sklearn-{name}", exported, [x[i : i + 1] for i in (0, 60, 120)])


def keras_models():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf
    import tf2onnx
    from keras import layers as L

    keras.utils.set_random_seed(5)
    chain = lambda shape, *layers: keras.Sequential([keras.Input(shape), *layers])

    def attentive():
        x = inputs = keras.Input((6, 8))
        x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 4)(x, x)]))
        return keras.Model(inputs, L.Dense(2)(L.GlobalAveragePooling1D()(x)))

    models = {
        "mlp": chain((7,), L.Dense(9, activation="relu"), L.Dense(5), L.LeakyReLU(negative_slope=0.1), L.Dense(3, activation="softmax")),
        "conv1d": chain((20, 3), L.Conv1D(6, 5, padding="same"), L.BatchNormalization(), L.ReLU(), L.MaxPooling1D(), L.Flatten(), L.Dense(2)),
        "conv2d": chain((9, 8, 2), L.Conv2D(4, 3, strides=2, padding="same", activation="relu"), L.DepthwiseConv2D(3), L.AveragePooling2D(2), L.Flatten(), L.Dense(3)),
        "separable": chain((12, 12, 3), L.SeparableConv2D(5, 3, padding="same"), L.BatchNormalization(), L.ReLU(6), L.GlobalAveragePooling2D(), L.Dense(2)),
        "lstm": chain((6, 4), L.LSTM(5), L.Dense(2)),
        "gru": chain((6, 4), L.GRU(5), L.Dense(2)),
        "upsample": chain((6, 6, 2), L.Conv2D(3, 3, padding="same"), L.UpSampling2D(2), L.Conv2D(1, 3, padding="same", activation="sigmoid")),
        "transposed": chain((5, 5, 2), L.Conv2DTranspose(3, 3, strides=2, padding="same"), L.GlobalMaxPooling2D(), L.Dense(2)),
        "norm": chain((6, 8), L.LayerNormalization(), L.Dense(4, activation="elu"), L.GlobalAveragePooling1D()),
        "dilated": chain((24, 3), L.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="relu"), L.SeparableConv1D(5, 3, activation="relu"), L.GlobalMaxPooling1D(), L.Dense(3)),
        "bidirectional": chain((6, 4), L.Bidirectional(L.LSTM(4)), L.Dense(2, activation="softmax")),
        "attention": attentive(),
    }
    names = []
    for name, model in models.items():
        signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="x")]
        call = tf.function(lambda x, model=model: model(x), input_signature=signature)
        exported, _ = tf2onnx.convert.from_function(call, signature, opset=17)
        onnx.save(exported, f"{folder}/keras-{name}.onnx")
        # Keras's own export.
        model(np.zeros([1, *model.input_shape[1:]], np.float32))
        model.export(f"{folder}/keras-export-{name}.onnx", format="onnx", verbose=False)
        names += [f"keras-{name}", f"keras-export-{name}"]
    return names


def answers():
    names = json.load(open(f"{folder}/index.json"))
    for name in names:
        model = onnx.load(f"{folder}/{name}.onnx")
        sizes = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
        save(name, model, [random.normal(size=sizes).astype(np.float32) for _ in range(3)])
    return names


def stream():
    """Each form with the sound's frames of 576 samples, which overlap by 64, and ONNX Runtime's probability and states after each."""
    import wave

    import onnxruntime

    with wave.open(sys.argv[4]) as file:
        words = np.frombuffer(file.readframes(4 * 8000), np.int16).astype(np.float32) / 32768
    sound = np.interp(np.arange(2 * len(words)) / 2, np.arange(len(words)), words).astype(np.float32)
    sound = np.concatenate([sound, np.zeros(16000, np.float32)])
    frames = [sound[start : start + 576] for start in range(0, len(sound) - 576, 512)]
    names = []
    for path in sorted(glob.glob(f"{sys.argv[3]}/*.onnx")):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        ends = [each.name for each in session.get_outputs()]
        states = [each.name for each in session.get_inputs() if each.name not in ("input", "sr")]
        shapes = {name: [2, 1, 128] if name == "state" else [1, 1, 128] for name in states}
        rate = {"sr": np.array(16000, np.int64)} if "sr" in [each.name for each in session.get_inputs()] else {}
        carried = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        results = []
        for frame in frames:
            probability, *after = session.run(ends, {"input": frame[None], **carried, **rate})
            carried = dict(zip(states, after))
            results.append({"probability": float(probability.ravel()[0]), "states": [numbers_of(value) for value in after]})
        names.append(os.path.basename(path)[: -len(".onnx")])
        about = {"shapes": {"input": [1, 576], **shapes}, "rate": bool(rate), "ends": ends, "frames": [numbers_of(x) for x in frames], "results": results}
        with open(f"{folder}/{names[-1]}.json", "w") as out:
            json.dump(about, out)
    return names


def follow():
    """ONNX Runtime's probabilities of a speech detector over a 16 kHz WAV file: 576 samples every 512, with its state carried."""
    import wave

    import onnxruntime

    with wave.open(sys.argv[4]) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    session = onnxruntime.InferenceSession(sys.argv[3], providers=["CPUExecutionProvider"])
    state = np.zeros([2, 1, 128], np.float32)
    said = []
    for start in range(0, len(sound) - 575, 512):
        frame = sound[None, start : start + 576]
        probability, state = session.run(["output", "stateN"], {"input": frame, "state": state, "sr": np.array(16000, np.int64)})
        said.append(float(probability.ravel()[0]))
    return said


def silero():
    path = sys.argv[3]
    # Silero VAD in the six forms that its wheel contains: each with an output, and the values of the other inputs.
    files = {
        "silero_vad": ("output", {"sr": 16000, "state": 0}),
        "silero_vad_16k_op15": ("output", {"sr": 16000, "state": 0}),
        "silero_vad_op18_ifless": ("output", {"sr": 16000, "state": 0}),
        "silero_vad_half": ("output", {"state": 0}),
        "silero_vad_openvino_16k": ("output", {"state": 0}),
        "silero_vad_16k_sequence": ("speech_probs", {"h": 0, "c": 0}),
    }
    for file, (output, values) in files.items():
        sound = (random.normal(size=[1, 576]) * 0.1).astype(np.float32)
        save(file, onnx.load(f"{path}/{file}.onnx"), [sound], output, values)
    return list(files)


def magika():
    text = np.frombuffer(open(__file__, "rb").read(2048), np.uint8).astype(np.int32)[None]
    chance = random.integers(257, size=[1, 2048]).astype(np.int32)
    return [save("magika", onnx.load(f"{sys.argv[3]}/model.onnx"), [text, chance])]


made = {
    "nodes": nodes,
    "networks": lambda: [*torch_networks(), *text_networks(), *estimators()],
    "choices": lambda: list(choice_networks()),
    "wide": lambda: list(wide_networks()),
    "ends": lambda: list(several_ends()),
    "quantized": lambda: list(quantized_networks()),
    "keras": keras_models,
    "answers": answers,
    "silero": silero,
    "stream": stream,
    "follow": follow,
    "magika": magika,
}[kind]()
with open(f"{folder}/index.json", "w") as file:
    json.dump(made, file)
