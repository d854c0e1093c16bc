"""Trains small Keras models and converts each with TensorFlow's own converter, in every mode.

argv[1]: a JSON list of jobs {name, kind, folder, shape, classes, epochs, calibration}. A job's folder contains `train.x` (float32),
`train.y` (int32) and receives `float.keras` and NAME.MODE.tflite for the five modes. Batches are fixed to 1, as a microcontroller
requires. `classes` 1 = one probability (a sigmoid). `calibration` is the number of training rows that determine the ranges.
"""
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy
import tensorflow
from keras import layers


def network(kind, shape, classes):
    last = layers.Dense(1, activation="sigmoid") if classes == 1 else layers.Dense(classes, activation="softmax")
    hidden = {
        "mlp": lambda: [layers.Dense(units, activation="relu") for units in (60, 30, 10)],
        "cnn1d": lambda: [
            layers.Conv1D(16, 5, strides=2, padding="same", activation="relu"),
            layers.Conv1D(32, 5, strides=2, padding="same", activation="relu"),
            layers.GlobalAveragePooling1D(),
        ],
        "ds-cnn": lambda: [
            layers.Conv1D(16, 5, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.SeparableConv1D(24, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling1D(2),
            layers.SeparableConv1D(32, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling1D(),
        ],
    }[kind]()
    return keras.Sequential([keras.Input(shape), *hidden, last])


def train(job):
    read = lambda name, kind: numpy.fromfile(os.path.join(job["folder"], name), dtype=kind)
    x = read("train.x", numpy.float32).reshape([-1, *job["shape"]])
    y = read("train.y", numpy.int32)
    keras.utils.set_random_seed(7)
    model = network(job["kind"], job["shape"], job["classes"])
    loss = "binary_crossentropy" if job["classes"] == 1 else "sparse_categorical_crossentropy"
    model.compile("adam", loss)
    model.fit(x, y, epochs=job["epochs"], batch_size=32, verbose=0)
    return model, x


def convert(function, rows, mode):
    # Given the model as an argument, the converter keeps its variables and cannot run the model for calibration. Without, it only warns.
    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([function])
    if mode != "float32":
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tensorflow.float16]
    if mode in ("int8", "int16x8"):
        converter.representative_dataset = lambda: ([row[None]] for row in rows)
        integers = "TFLITE_BUILTINS_INT8"
        if mode == "int16x8":
            integers = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet[integers]]
        kind = tensorflow.int8 if mode == "int8" else tensorflow.int16
        converter.inference_input_type = converter.inference_output_type = kind
    return converter.convert()


def run(job):
    model, x = train(job)
    model.save(os.path.join(job["folder"], "float.keras"))
    call = tensorflow.function(lambda x: model(x, training=False))
    function = call.get_concrete_function(tensorflow.TensorSpec([1, *job["shape"]], tensorflow.float32))
    for mode in ("float32", "dynamic", "float16", "int8", "int16x8"):
        with open(os.path.join(job["folder"], f"{job['name']}.{mode}.tflite"), "wb") as file:
            file.write(convert(function, x[: job["calibration"]], mode))


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        for entry in json.load(file):
            run(entry)
