"""Writes .tflite files with branches and loops that depend on the input, converted by TensorFlow: control_flow.py FOLDER.

FOLDER receives NAME.tflite for each model. Prints the names as a JSON list.
"""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy
import tensorflow as tf

folder = sys.argv[1]
rng = numpy.random.default_rng(7)
SHAPE = (1, 6)


def weights(*shape):
    return tf.constant(rng.normal(size=shape).astype("float32") / 2)


W = [weights(6, 6) for _ in range(4)]


def nested(x):
    inner = lambda: tf.cond(tf.reduce_max(x) > 2.0, lambda: tf.matmul(x, W[0]), lambda: tf.tanh(x))
    return tf.cond(tf.reduce_sum(x) > 0.0, inner, lambda: x * 0.5) + 1.0


def several(x):
    a, b = tf.cond(tf.reduce_mean(x) > 0.2, lambda: (tf.nn.relu(x), x + 1.0), lambda: (tf.matmul(x, W[1]), x - 1.0))
    return tf.concat([a, b], axis=1)


def halving(x):
    keep = lambda i, y: tf.reduce_max(tf.abs(y)) > 0.5
    return tf.while_loop(keep, lambda i, y: (i + 1, y * 0.7), [tf.constant(0), x], maximum_iterations=12)[1]


def settled(x):
    step = lambda y: tf.tanh(tf.matmul(y, W[2]) + x)
    keep = lambda i, y, far: tf.logical_and(i < 9, far > 0.2)
    body = lambda i, y, far: (i + 1, step(y), tf.reduce_max(tf.abs(step(y) - y)))
    return tf.while_loop(keep, body, [tf.constant(0), x, tf.reduce_max(tf.abs(x))])[1]


def alternating(x):
    changed = lambda y: tf.cond(tf.reduce_sum(y) > 0.0, lambda: tf.tanh(y), lambda: y * 0.9)
    # The counter's remainder and half are known in each step.
    body = lambda i, y: (i + 1, tf.cond(tf.equal(i % 2, 0), lambda: changed(y), lambda: y - tf.cast(i // 2, tf.float32) * 0.1))
    return tf.while_loop(lambda i, y: i < 5, body, [tf.constant(0), x])[1]


MODELS = {
    "alternating": alternating,
    "branch": lambda x: tf.cond(tf.reduce_sum(x) > 0.0, lambda: tf.tanh(x) * 2.0, lambda: tf.matmul(x, W[3])),
    "nested": nested,
    "several": several,
    "halving": halving,
    "settled": settled,
}

for name, function in MODELS.items():
    concrete = tf.function(function, input_signature=[tf.TensorSpec(SHAPE, tf.float32)]).get_concrete_function()
    file = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    with open(f"{folder}/{name}.tflite", "wb") as out:
        out.write(file)
print(json.dumps(list(MODELS)))
