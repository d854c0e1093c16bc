"""Writes a .tflite file for each operator with TensorFlow's converter, or with TensorFlow's schema if the converter does not write the operator.

argv: a folder. Writes NAME.tflite for each operator, all with float32 inputs. Prints a JSON list of the names.
"""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import flatbuffers
import numpy
import tensorflow as tf
from tensorflow import keras
from tensorflow.lite.python import schema_py_generated as schema

rng = numpy.random.default_rng(5)
IMAGE = (1, 6, 6, 4)


def weights(*shape):
    return tf.constant(rng.normal(size=shape).astype("float32"))


def compared(compare):
    limit = weights(*IMAGE)
    # With equal shapes, the converter would write SELECT.
    return lambda x: tf.where(compare(x, limit), x * 2.0, -1.0)


OPERATORS = {
    "ABS": tf.abs,
    "ADD": lambda x: x + weights(4),
    "ADD_N": lambda x: tf.add_n([x, tf.square(x), x * weights(4), tf.abs(x)]),
    "FLOOR_DIV": lambda x: tf.math.floordiv(x, weights(4)),
    "CUMSUM": lambda x: tf.cumsum(x, axis=2),
    "CUMSUM-exclusive": lambda x: tf.cumsum(x, axis=1, exclusive=True, reverse=True),
    "CUMSUM-vector": lambda x: tf.cumsum(tf.reshape(x[:, :, 0, 0], [6]), reverse=True),
    "GATHER_ND": lambda x: tf.gather_nd(x, tf.constant([[[0, 5, 1], [0, 2, 3]], [[0, 0, 0], [0, 4, 5]]])),
    "GATHER_ND-computed": lambda x: tf.gather_nd(x, tf.cast(tf.reshape(tf.abs(x)[:, :4, 3, :3], [4, 3]) * [0.0, 1.9, 1.9], tf.int32)),
    "GATHER_ND-rows": lambda x: tf.gather_nd(x[0], tf.cast(tf.abs(x)[0, :, 1, :1] * 1.9, tf.int32)),
    "FLOOR_MOD": lambda x: tf.math.floormod(x, weights(4)),
    "ZEROS_LIKE": lambda x: tf.raw_ops.ZerosLike(x=x) - x,
    "TILE": lambda x: tf.tile(x, [1, 2, 1, 3]),
    # With equal shapes, the converter writes SELECT.
    "SELECT": lambda x: tf.where(x > weights(*IMAGE), x * 2.0, -x),
    "IF": lambda x: tf.cond(tf.reduce_sum(x) > 0.0, lambda: tf.nn.relu(x) * 2.0, lambda: x - 1.0),
    "WHILE": lambda x: tf.while_loop(lambda i, y: tf.reduce_max(y) > 0.5, lambda i, y: (i + 1, y * 0.7), [tf.constant(0), x], maximum_iterations=6)[1],
    "ARG_MIN": lambda x: tf.cast(tf.argmin(x * weights(4), axis=3, output_type=tf.int32), tf.float32),
    "CAST": lambda x: tf.cast(tf.cast(x * 3, tf.int32), tf.float32),
    "LOGICAL_AND": lambda x: tf.where(tf.logical_and(x > 0.1, x < 0.8), x, -x),
    "LOGICAL_OR": lambda x: tf.where(tf.logical_or(x < 0.1, x > 0.8), x, -x),
    "LOGICAL_NOT": lambda x: tf.cast(tf.logical_not(tf.logical_or(x < 0.1, x > 0.8)), tf.float32),
    "ARG_MAX": lambda x: tf.argmax(x * weights(4), axis=3, output_type=tf.int32),
    "AVERAGE_POOL_2D": lambda x: tf.nn.avg_pool2d(x, 2, 2, "SAME"),
    "BATCH_MATMUL": lambda x: tf.matmul(x, tf.transpose(x, [0, 1, 3, 2]) + 1.0),
    "BATCH_TO_SPACE_ND": lambda x: tf.batch_to_space(tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]]) * 2.0, [2, 2], [[0, 0], [0, 0]]),
    "CONCATENATION": lambda x: tf.concat([x, x * 2.0], 3),
    "CONV_2D": lambda x: tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 4, 5), 2, "SAME") + weights(5)),
    "DEPTHWISE_CONV_2D": lambda x: tf.nn.depthwise_conv2d(x, weights(3, 3, 4, 2), [1, 1, 1, 1], "VALID"),
    "DEPTH_TO_SPACE": lambda x: tf.nn.depth_to_space(x, 2),
    "DIV": lambda x: x / (tf.abs(x) + 1.0),
    "ELU": tf.nn.elu,
    "EQUAL": compared(lambda x, limit: tf.equal(tf.nn.relu(x), tf.nn.relu(limit))),
    "EXP": tf.exp,
    "FILL": lambda x: tf.fill([1, 3, 5], tf.reduce_sum(x)),
    "FULLY_CONNECTED": lambda x: tf.matmul(tf.reshape(x, [1, 144]), weights(144, 5)) + weights(5),
    "GATHER": lambda x: tf.gather(x, tf.constant([2, 0, 2]), axis=2),
    "GREATER": compared(tf.greater),
    "GREATER_EQUAL": compared(tf.greater_equal),
    "HARD_SWISH": lambda x: x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0),
    "L2_NORMALIZATION": lambda x: tf.nn.l2_normalize(x, axis=3),
    "LEAKY_RELU": lambda x: tf.nn.leaky_relu(x, 0.1),
    "LESS": compared(tf.less),
    "LESS_EQUAL": compared(tf.less_equal),
    "LOG": lambda x: tf.math.log(tf.abs(x) + 1.0),
    "LOGISTIC": tf.sigmoid,
    "MAXIMUM": lambda x: tf.maximum(x, weights(4)),
    "MAX_POOL_2D": lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME"),
    "BROADCAST_TO": lambda x: tf.cast(tf.broadcast_to(tf.reduce_sum(x, 3) > 0.0, [2, 6, 6]), tf.float32),
    "CEIL": lambda x: tf.math.ceil(x * 3),
    "COS": tf.cos,
    "FLOOR": lambda x: tf.floor(x * 3),
    "LOG_SOFTMAX": tf.nn.log_softmax,
    "MIRROR_PAD": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]], mode="REFLECT"),
    "REVERSE_V2": lambda x: tf.reverse(x, [1, 2]),
    "ROUND": lambda x: tf.round(x * 3),
    "SIN": tf.sin,
    "MEAN": lambda x: tf.reduce_mean(x, [1, 2]),
    "MINIMUM": lambda x: tf.minimum(x, weights(4)),
    "MUL": lambda x: x * weights(4),
    "NEG": tf.negative,
    "NOT_EQUAL": compared(lambda x, limit: tf.not_equal(tf.nn.relu(x), tf.nn.relu(limit))),
    "PACK": lambda x: tf.stack([x, x * 2.0], 1),
    "PAD": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]]),
    "PADV2": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]], constant_values=1.5),
    "REDUCE_MAX": lambda x: tf.reduce_max(x, [1, 2]),
    "REDUCE_MIN": lambda x: tf.reduce_min(x, 3, keepdims=True),
    "RELU": tf.nn.relu,
    "RELU6": tf.nn.relu6,
    "RESHAPE": lambda x: tf.reshape(x, [1, 4, 36]) * 2.0,
    "RESIZE_BILINEAR": lambda x: tf.compat.v1.image.resize_bilinear(x, [9, 11], half_pixel_centers=True),
    "RESIZE_NEAREST_NEIGHBOR": lambda x: tf.compat.v1.image.resize_nearest_neighbor(x, [12, 9]),
    "RSQRT": lambda x: tf.math.rsqrt(tf.abs(x) + 1.0),
    "SELECT_V2": compared(tf.greater),
    "SLICE": lambda x: tf.slice(x, [0, 1, 2, 0], [1, 3, 4, 2]),
    "SOFTMAX": lambda x: tf.nn.softmax(x, axis=3),
    "SPACE_TO_BATCH_ND": lambda x: tf.space_to_batch(x, [2, 3], [[0, 0], [0, 0]]),
    "SPACE_TO_DEPTH": lambda x: tf.nn.space_to_depth(x, 2),
    "SPLIT": lambda x: tf.add(*tf.split(x, 2, 3)),
    "SPLIT_V": lambda x: tf.reduce_sum(tf.split(x, [1, 3], 3)[1], 3),
    "SQRT": lambda x: tf.sqrt(tf.abs(x)),
    "SQUARE": tf.square,
    "SQUARED_DIFFERENCE": lambda x: tf.math.squared_difference(x, weights(4)),
    "STRIDED_SLICE": lambda x: x[:, ::2, 1:5:3, :],
    "SUB": lambda x: weights(4) - x,
    "SUM": lambda x: tf.reduce_sum(x, [1, 2]),
    "TANH": tf.tanh,
    "TRANSPOSE": lambda x: tf.transpose(x, [0, 3, 1, 2]),
    "TRANSPOSE_CONV": lambda x: tf.nn.conv2d_transpose(x, weights(3, 3, 5, 4), [1, 12, 12, 5], 2, "SAME"),
    "UNPACK": lambda x: tf.add(*tf.unstack(x[:, :2], axis=1)),
}


def converted(function, shape=IMAGE):
    signature = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32)])
    return tf.lite.TFLiteConverter.from_concrete_functions([signature.get_concrete_function()]).convert()


def from_keras(model, rows=None):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if rows is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in rows)
    return converter.convert()


def keras_files():
    sequence = keras.Input(batch_shape=(1, 5, 3))
    image = keras.Input(batch_shape=IMAGE)
    prelu = keras.layers.PReLU(shared_axes=[1, 2], alpha_initializer="random_uniform")
    yield "PRELU", from_keras(keras.Model(image, prelu(image)))
    # An int8 layer between float32 ends
    for name in ("QUANTIZE", "DEQUANTIZE"):
        pool = keras.Model(sequence, keras.layers.MaxPooling1D(2)(sequence))
        yield name, from_keras(pool, rng.normal(size=(50, 5, 3)).astype("float32"))


def by_schema(code, options, tensors, inputs, outputs, ends):
    """A file with one operator, made with TensorFlow's own classes for the schema. tensors: (shape, data or None, is_variable)."""
    model, graph, operator = schema.ModelT(), schema.SubGraphT(), schema.OperatorT()
    model.version = 3
    model.description = "one operator"
    model.buffers = [schema.BufferT()]
    graph.tensors = []
    for place, (shape, data, variable) in enumerate(tensors):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.isVariable = f"t{place}", list(shape), schema.TensorType.FLOAT32, variable
        tensor.buffer = 0
        if data is not None:
            tensor.type = schema.TensorType.INT32 if data.dtype == numpy.int32 else schema.TensorType.FLOAT32
            buffer = schema.BufferT()
            buffer.data = numpy.frombuffer(data.tobytes(), dtype="uint8")
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        graph.tensors.append(tensor)
    used = schema.OperatorCodeT()
    used.builtinCode, used.deprecatedBuiltinCode, used.version = code, min(code, 127), 1
    model.operatorCodes = [used]
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, outputs
    operator.builtinOptionsType, operator.builtinOptions = options
    graph.operators, graph.inputs, graph.outputs = [operator], ends[0], ends[1]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def schema_files():
    def random(*shape):
        return rng.normal(size=shape).astype("float32")

    svdf = schema.SVDFOptionsT()
    svdf.rank, svdf.fusedActivationFunction = 2, schema.ActivationFunctionType.RELU
    # Input, feature weights, time weights, bias, state and output of 4 units of rank 2 with a memory of 5
    tensors = [((1, 3), None, False), ((8, 3), random(8, 3), False), ((8, 5), random(8, 5), False), ((4,), random(4), False)]
    tensors += [((1, 40), None, True), ((1, 4), None, False)]
    options = (schema.BuiltinOptions.SVDFOptions, svdf)
    yield "SVDF", by_schema(schema.BuiltinOperator.SVDF, options, tensors, [0, 1, 2, 3, 4], [5], ([0], [5]))

    lstm = schema.UnidirectionalSequenceLSTMOptionsT()
    lstm.fusedActivationFunction, lstm.timeMajor = schema.ActivationFunctionType.TANH, False
    # Input of 5 steps; weights of the input and of the state, and biases, of 4 gates; output and cell states; output
    tensors = [((1, 5, 3), None, False)]
    for shape in [(4, 3)] * 4 + [(4, 4)] * 4 + [(4,)] * 4:
        tensors.append((shape, random(*shape), False))
    tensors += [((1, 4), None, True), ((1, 4), None, True), ((1, 5, 4), None, False)]
    inputs = [*range(9), -1, -1, -1, *range(9, 13), -1, -1, 13, 14, -1, -1, -1, -1]
    options = (schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions, lstm)
    code = schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM
    yield "UNIDIRECTIONAL_SEQUENCE_LSTM", by_schema(code, options, tensors, inputs, [15], ([0], [15]))

    pool = schema.Pool2DOptionsT()
    pool.padding, pool.strideH, pool.strideW, pool.filterHeight, pool.filterWidth = schema.Padding.SAME, 2, 1, 3, 2
    options = (schema.BuiltinOptions.Pool2DOptions, pool)
    tensors = [(IMAGE, None, False), ((1, 3, 6, 4), None, False)]
    yield "L2_POOL_2D", by_schema(schema.BuiltinOperator.L2_POOL_2D, options, tensors, [0], [1], ([0], [1]))

    squeeze = schema.SqueezeOptionsT()
    squeeze.squeezeDims = [1]
    tensors = [((1, 1, 6, 4), None, False), ((1, 6, 4), None, False)]
    options = (schema.BuiltinOptions.SqueezeOptions, squeeze)
    yield "SQUEEZE", by_schema(schema.BuiltinOperator.SQUEEZE, options, tensors, [0], [1], ([0], [1]))


if __name__ == "__main__":
    folder = sys.argv[1]
    files = {name: converted(function) for name, function in OPERATORS.items()}
    # With a fixed batch, the converter would write RESHAPE.
    files["EXPAND_DIMS"] = converted(lambda x: tf.expand_dims(x, 1) * 2.0, (None, *IMAGE[1:]))
    # The converter computes shapes while it converts, unless the batch is dynamic.
    batch = (None, *IMAGE[1:])
    files["SHAPE"] = converted(lambda x: tf.reshape(x, [tf.shape(x)[0], 144]) * 2.0, batch)
    files["REDUCE_PROD"] = converted(lambda x: tf.reshape(x, [tf.reduce_prod(tf.shape(x)[:2]), 24]) * 2.0, batch)
    files.update(keras_files())
    files.update(schema_files())
    for name, data in files.items():
        with open(os.path.join(folder, f"{name}.tflite"), "wb") as file:
            file.write(data)
    print(json.dumps(list(files)))
