"""Makes random Keras networks and converts them to .tflite files.

argv: a folder, the number of networks, `float32`, `int8` or `int16x8`, and optionally `several` for networks with two inputs, two outputs or
both, or `recurrent` for networks with loops over time steps (float32, because the converter crashes on int8 loops). Writes INDEX.tflite, and
INDEX.txt with the classes of its layers. `int8` and `int16x8` use TensorFlow's full-integer quantization with random rows. Networks that
TensorFlow's converter rejects are replaced with new ones.
"""
import os
import random
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy
import tensorflow
from tensorflow import keras
from tensorflow.keras import layers

ACTIVATIONS = ["relu", "relu6", "tanh", "sigmoid", "elu", "hard_swish", "silu", None]


def activation(rng):
    return rng.choice(ACTIVATIONS)


def on_vectors(rng, x):
    kind = rng.choice(["dense", "dense", "norm", "prelu", "leaky", "residual", "branches"])
    units = rng.randint(2, 12)
    if kind == "dense":
        return layers.Dense(units, activation=activation(rng))(x)
    if kind == "norm":
        return layers.BatchNormalization()(x)
    if kind == "prelu":
        return layers.PReLU(alpha_initializer="random_uniform")(x)
    if kind == "leaky":
        return layers.LeakyReLU(negative_slope=0.1)(x)
    if kind == "residual":
        other = layers.Dense(x.shape[-1], activation=activation(rng))(x)
        return rng.choice([layers.Add, layers.Subtract, layers.Multiply, layers.Maximum, layers.Minimum])()([x, other])
    return layers.Concatenate()([layers.Dense(units)(x), layers.Dense(3, activation="relu")(x)])


def on_sequences(rng, x):
    kind = rng.choice(["conv", "conv", "dilated", "causal", "separable", "pool", "norm", "pad", "crop", "permute", "residual", "attention", "up"])
    filters = rng.randint(2, 8)
    steps = x.shape[1]
    if kind == "conv":
        return layers.Conv1D(filters, rng.randint(1, 3), strides=rng.choice([1, 2]), padding="same", activation=activation(rng))(x)
    if kind == "dilated":
        return layers.Conv1D(filters, 3, dilation_rate=2, padding="same", activation=activation(rng))(x)
    if kind == "causal":
        return layers.Conv1D(filters, 3, dilation_rate=rng.choice([1, 2]), padding="causal")(x)
    if kind == "separable":
        return layers.SeparableConv1D(filters, 3, padding="same", activation=activation(rng))(x)
    if kind == "pool" and steps >= 4:
        return rng.choice([layers.MaxPooling1D, layers.AveragePooling1D])(2)(x)
    if kind == "norm":
        return rng.choice([layers.BatchNormalization, layers.LayerNormalization])()(x)
    if kind == "pad":
        return layers.ZeroPadding1D(1)(x)
    if kind == "crop" and steps >= 6:
        return layers.Cropping1D(1)(x)
    if kind == "permute":
        return layers.Permute((2, 1))(x)
    if kind == "residual":
        other = layers.Conv1D(x.shape[-1], 3, padding="same", activation=activation(rng))(x)
        return rng.choice([layers.Add, layers.Multiply, layers.Maximum, layers.Average])()([x, other])
    if kind == "attention":
        return layers.Attention()([x, layers.Dense(x.shape[-1])(x)])
    if kind == "up" and steps <= 16:
        return layers.UpSampling1D(2)(x)
    return layers.Activation("relu")(x)


def on_images(rng, x):
    kind = rng.choice(["conv", "conv", "dilated", "depthwise", "separable", "transpose", "pool", "norm", "pad", "crop", "up", "residual", "prelu"])
    filters = rng.randint(2, 6)
    side = min(x.shape[1], x.shape[2])
    if kind == "conv":
        return layers.Conv2D(filters, rng.randint(1, 3), strides=rng.choice([1, 2]), padding="same", activation=activation(rng))(x)
    if kind == "dilated":
        return layers.Conv2D(filters, 3, dilation_rate=2, padding="same", activation=activation(rng))(x)
    if kind == "depthwise":
        return layers.DepthwiseConv2D(3, padding="same", depth_multiplier=rng.choice([1, 2]), activation=activation(rng))(x)
    if kind == "separable":
        return layers.SeparableConv2D(filters, 3, padding="same", activation=activation(rng))(x)
    if kind == "transpose" and side <= 10:
        return layers.Conv2DTranspose(filters, rng.randint(2, 3), strides=2, padding=rng.choice(["same", "valid"]))(x)
    if kind == "pool" and side >= 4:
        return rng.choice([layers.MaxPooling2D, layers.AveragePooling2D])(2)(x)
    if kind == "norm":
        return layers.BatchNormalization()(x)
    if kind == "pad":
        return layers.ZeroPadding2D(1)(x)
    if kind == "crop" and side >= 6:
        return layers.Cropping2D(1)(x)
    if kind == "up" and side <= 10:
        return layers.UpSampling2D(2, interpolation=rng.choice(["nearest", "bilinear"]))(x)
    if kind == "prelu":
        return layers.PReLU(shared_axes=[1, 2], alpha_initializer="random_uniform")(x)
    if kind == "residual":
        other = layers.Conv2D(x.shape[-1], 3, padding="same", activation=activation(rng))(x)
        return rng.choice([layers.Add, layers.Multiply, layers.Subtract, layers.Minimum])()([x, other])
    return layers.Activation("relu")(x)


def network(rng):
    shape = rng.choice([(rng.randint(3, 20),), (rng.choice([8, 12, 16]), rng.randint(1, 4)), (rng.choice([6, 8, 9]), rng.choice([6, 8]), rng.randint(1, 3))])
    inputs = keras.Input(shape)
    x = inputs
    for _ in range(rng.randint(2, 5)):
        x = {1: on_vectors, 2: on_sequences, 3: on_images}[len(x.shape) - 1](rng, x)
    if len(x.shape) == 3:
        x = rng.choice([layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D, layers.Flatten])()(x)
    if len(x.shape) == 4:
        x = rng.choice([layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.Flatten])()(x)
    return keras.Model(inputs, layers.Dense(rng.randint(1, 5), activation=rng.choice(["softmax", "sigmoid", None]))(x))


def several(rng):
    """A network with two inputs, two outputs or both: a trunk like MobileNet's or over time steps, features next to it, and heads."""
    two_inputs, two_outputs = rng.choice([(True, False), (False, True), (True, True)])
    inputs = [keras.Input(rng.choice([(8, 8, 3), (12, 4)]))]
    x = inputs[0]
    if len(x.shape) == 4:
        x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu6")(x)
        x = layers.ReLU(6)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x)))
    for _ in range(rng.randint(1, 3)):
        x = {2: on_sequences, 3: on_images}[len(x.shape) - 1](rng, x)
    trunk = x
    x = layers.Flatten()(x) if len(x.shape) == 3 else layers.GlobalAveragePooling2D()(x)
    if two_inputs:
        inputs.append(keras.Input((rng.randint(3, 8),)))
        x = layers.Concatenate()([x, on_vectors(rng, inputs[1])])
    outputs = [layers.Dense(rng.randint(2, 5), activation=rng.choice(["softmax", "sigmoid"]))(x)]
    if two_outputs:
        filters = rng.randint(2, 4)
        dense = lambda: layers.Dense(2)(x)
        head = lambda: layers.Conv2D(filters, 1)(trunk) if len(trunk.shape) == 4 else layers.Conv1D(filters, 1)(trunk)
        outputs.append(rng.choice([dense, head])())
    return keras.Model(inputs, outputs)


def recurrent(rng):
    """A network with one or two rolled recurrent layers. The batch is fixed, because the converter writes Flex operators otherwise."""
    inputs = keras.Input(batch_shape=(1, rng.randint(2, 7), rng.randint(1, 4)))
    x = inputs
    for last in rng.choice([[True], [False, True]]):
        layer = rng.choice([layers.GRU, layers.LSTM, layers.SimpleRNN])
        x = layer(rng.randint(2, 6), return_sequences=not last or rng.random() < 0.4)(x)
    if len(x.shape) == 3:
        x = rng.choice([layers.Flatten, layers.GlobalAveragePooling1D])()(x)
    return keras.Model(inputs, layers.Dense(rng.randint(1, 4), activation=rng.choice(["softmax", None]))(x))


MAKERS = {"several": several, "recurrent": recurrent}


INTEGERS = {
    "int8": (1000, tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8, tensorflow.int8),
    "int16x8": (2000, tensorflow.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, tensorflow.int16),
}


def main(folder, count, kind, make):
    made = 0
    for index in range(5 * count):
        if made == count:
            break
        rng = random.Random(INTEGERS[kind][0] + index if kind in INTEGERS else index)
        keras.utils.set_random_seed(index)
        model = make(rng)
        converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
        if kind in INTEGERS:
            _, operators, io = INTEGERS[kind]
            chance = numpy.random.default_rng(index)
            rows = [[chance.normal(size=(1, *one.shape[1:])).astype("float32") for one in model.inputs] for _ in range(40)]
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: iter(rows)
            converter.target_spec.supported_ops = [operators]
            converter.inference_input_type = converter.inference_output_type = io
        try:
            converted = converter.convert()
        except Exception as error:
            sys.stderr.write(f"network {index} is not converted: {str(error)[:200]}\n")
            continue
        with open(os.path.join(folder, f"{made}.tflite"), "wb") as file:
            file.write(converted)
        with open(os.path.join(folder, f"{made}.txt"), "w", encoding="utf-8") as file:
            file.write(" ".join(type(layer).__name__ for layer in model.layers))
        made += 1


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], MAKERS[sys.argv[4]] if sys.argv[4:] else network)
