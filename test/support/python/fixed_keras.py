"""Makes fixed Keras networks of the kinds that TinyML projects use, and converts them to .tflite files.

argv: a folder. Writes NAME.KIND.tflite (KIND is `float32`, `int8` or `int16x8`), and index.json: for each name, the kinds that TensorFlow's
converter made, and the reason for each other kind. `int8` and `int16x8` use TensorFlow's full-integer quantization with random rows.
"""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy
import tensorflow
from tensorflow import keras
from tensorflow.keras import layers as L

from random_keras import INTEGERS


def recurrent(layer, unroll):
    """Two stacked recurrent layers. The batch is fixed, because the converter writes Flex operators for rolled layers otherwise."""
    x = inputs = keras.Input(batch_shape=(1, 10, 6))
    x = layer(8, return_sequences=True, unroll=unroll)(x)
    x = layer(7, unroll=unroll)(x)
    return keras.Model(inputs, L.Dense(4, activation="softmax")(x))


def attention():
    """An encoder block of a transformer: self-attention and a feed-forward part, each with a residual connection and normalized."""
    x = inputs = keras.Input((12, 8))
    x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(num_heads=2, key_dim=4)(x, x)]))
    x = L.LayerNormalization()(L.Add()([x, L.Dense(8)(L.Dense(16, activation="relu")(x))]))
    return keras.Model(inputs, L.Dense(3, activation="softmax")(L.GlobalAveragePooling1D()(x)))


def normal(filters, x):
    return L.ReLU(6)(L.BatchNormalization()(L.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)))


def unet():
    """Two levels down and up, with a mask as its output; one level up is a transposed convolution, the other a bilinear resize."""
    inputs = keras.Input((16, 16, 2))
    first = normal(4, inputs)
    second = normal(6, L.MaxPooling2D(2)(first))
    x = normal(8, L.MaxPooling2D(2)(second))
    x = normal(6, L.Concatenate()([L.Conv2DTranspose(6, 2, strides=2)(x), second]))
    x = normal(4, L.Concatenate()([L.UpSampling2D(2, interpolation="bilinear")(x), first]))
    return keras.Model(inputs, L.Conv2D(1, 1, activation="sigmoid")(x))


def mobile():
    """Blocks of MobileNet v1 and v2, with a head that classifies and one that predicts a box per cell."""
    def block(x, filters, strides):
        wide = L.ReLU(6)(L.BatchNormalization()(L.Conv2D(2 * x.shape[-1], 1, use_bias=False)(x)))
        wide = L.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(wide)
        narrow = L.BatchNormalization()(L.Conv2D(filters, 1, use_bias=False)(L.ReLU(6)(L.BatchNormalization()(wide))))
        return L.Add()([x, narrow]) if strides == 1 and x.shape[-1] == filters else narrow

    inputs = keras.Input((32, 32, 3))
    x = L.ReLU(6)(L.BatchNormalization()(L.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(inputs)))
    x = L.ReLU(6)(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same", use_bias=False)(x)))
    for filters, strides in ((8, 2), (8, 1), (12, 2), (12, 1)):
        x = block(x, filters, strides)
    return keras.Model(inputs, [L.Dense(5, activation="softmax")(L.GlobalAveragePooling2D()(x)), L.Conv2D(4, 1)(x)])


MODELS = {
    "lstm-unrolled": lambda: recurrent(L.LSTM, True),
    "gru-unrolled": lambda: recurrent(L.GRU, True),
    "lstm-rolled": lambda: recurrent(L.LSTM, False),
    "gru-rolled": lambda: recurrent(L.GRU, False),
    "attention": attention,
    "separable-unet": unet,
    "mobile-two-heads": mobile,
}


def with_statistics(model, chance):
    """Random moving statistics and biases, because zeros and ones would hide mistakes."""
    for layer in model._flatten_layers():
        for variable in [] if isinstance(layer, keras.Model) else layer.weights:
            if variable.path.endswith("variance"):
                variable.assign(chance.uniform(0.5, 2, variable.shape))
            elif len(variable.shape) == 1 and variable.dtype == "float32":
                variable.assign(variable + chance.normal(0, 0.2, variable.shape))
    return model


def convert(model, kind, chance):
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
    if kind in INTEGERS:
        _, operators, io = INTEGERS[kind]
        rows = [[chance.normal(size=(1, *one.shape[1:])).astype("float32") for one in model.inputs] for _ in range(40)]
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter(rows)
        converter.target_spec.supported_ops = [operators]
        converter.inference_input_type = converter.inference_output_type = io
    return converter.convert()


def main(folder):
    index = {}
    for number, (name, make) in enumerate(MODELS.items()):
        keras.utils.set_random_seed(number)
        chance = numpy.random.default_rng(number)
        model = with_statistics(make(), chance)
        # The converter ends the process on loops that it is to quantize.
        kinds = ["float32"] if name.endswith("-rolled") else ["float32", "int8", "int16x8"]
        index[name] = {"made": [], "refused": {}}
        for kind in kinds:
            try:
                converted = convert(model, kind, chance)
            except Exception as error:
                index[name]["refused"][kind] = str(error)[-300:]
                continue
            with open(os.path.join(folder, f"{name}.{kind}.tflite"), "wb") as file:
                file.write(converted)
            index[name]["made"].append(kind)
    with open(os.path.join(folder, "index.json"), "w", encoding="utf-8") as file:
        json.dump(index, file)


if __name__ == "__main__":
    main(sys.argv[1])
