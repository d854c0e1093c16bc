"""Converts small Keras models to float .tflite files as exported by users, with a dynamic batch size and default settings.

argv[1]: a folder. For each model, it receives NAME.tflite, NAME.x (float32 inputs, 16 rows) and NAME.y (the outputs of the converted file
in TensorFlow's own interpreter), and one `report.json`: name → {inputs, outputs} or {failed}.
"""
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy
import tensorflow
from keras import layers

FOLDER = sys.argv[1]
ROWS = 16


def sequential(shape, *parts):
    return keras.Sequential([keras.Input(shape), *parts])


def residual():
    x = keras.Input((24, 4))
    y = layers.Conv1D(8, 3, padding="same", activation="relu")(x)
    z = layers.Conv1D(8, 3, padding="same")(y)
    z = layers.ReLU()(layers.Add()([y, z]))
    pooled = layers.Concatenate()([layers.GlobalAveragePooling1D()(z), layers.GlobalMaxPooling1D()(z)])
    return keras.Model(x, layers.Dense(3, activation="softmax")(pooled))


NETWORKS = {
    "mlp": lambda: sequential((6,), layers.Dense(16, activation="relu"), layers.Dropout(0.2), layers.Dense(1, activation="sigmoid")),
    "conv1d": lambda: sequential(
        (32, 3),
        layers.Conv1D(8, 5, activation="relu"),
        layers.MaxPooling1D(2),
        layers.Conv1D(12, 3, strides=2, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dense(4, activation="softmax"),
    ),
    "batch_norm": lambda: sequential(
        (20, 3),
        layers.Conv1D(8, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.SeparableConv1D(10, 3, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        layers.GlobalAveragePooling1D(),
        layers.Dense(3),
    ),
    "norm_after_relu": lambda: sequential((8,), layers.Dense(12, activation="relu"), layers.BatchNormalization(), layers.Dense(3)),
    "conv2d": lambda: sequential(
        (12, 12, 2),
        layers.ZeroPadding2D(1),
        layers.Conv2D(6, 3, strides=2),
        layers.LeakyReLU(),
        layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="tanh"),
        layers.AveragePooling2D(2),
        layers.Flatten(),
        layers.Dense(5, activation="softmax"),
    ),
    "dense_on_steps": lambda: sequential((10, 4), layers.Dense(6, activation="relu"), layers.Flatten(), layers.Dense(2)),
    "residual": residual,
    "permute": lambda: sequential((6, 4), layers.Permute((2, 1)), layers.Reshape((4, 6, 1)), layers.Conv2D(3, 2), layers.Flatten(), layers.Dense(2)),
    "dilated": lambda: sequential((24, 3), layers.Conv1D(6, 3, dilation_rate=2, padding="same"), layers.GlobalAveragePooling1D(), layers.Dense(2)),
    "gelu": lambda: sequential((6,), layers.Dense(8, activation="gelu"), layers.Dense(2)),
    "lstm": lambda: sequential((10, 3), layers.LSTM(6, unroll=False), layers.Dense(2)),
}


def convert(name, model, float16=False):
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
    if name == "lstm":
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS, tensorflow.lite.OpsSet.SELECT_TF_OPS]
        converter._experimental_lower_tensor_list_ops = False
        converter.experimental_enable_resource_variables = True
    if float16:
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tensorflow.float16]
    return converter.convert()


def write(name, kind, values):
    with open(os.path.join(FOLDER, f"{name}.{kind}"), "wb") as file:
        file.write(values if isinstance(values, bytes) else values.astype(numpy.float32).tobytes())


def answers(content, x):
    interpreter = tensorflow.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    out = []
    for row in x:
        interpreter.set_tensor(given["index"], row[None].astype(numpy.float32))
        interpreter.invoke()
        out.append(interpreter.get_tensor(made["index"]).ravel().copy())
    return numpy.array(out)


def warmed(model, shape):
    """Gives batch norms random statistics, because the initial ones would be folded to nothing."""
    random = numpy.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) if i != 1 else random.normal(size=w.shape) for i, w in enumerate(layer.get_weights())])
    return model


def main():
    report = {}
    keras.utils.set_random_seed(5)
    for name, make in NETWORKS.items():
        model = make()
        warmed(model, model.input_shape[1:])
        x = numpy.random.default_rng(1).normal(size=(ROWS, *model.input_shape[1:]))
        for suffix, float16 in (("", False), ("_float16", True)):
            if float16 and name not in ("conv1d", "batch_norm"):
                continue
            try:
                content = convert(name, model, float16)
            except Exception as error:  # The converter's own limits are not under test.
                report[name + suffix] = {"failed": str(error)[:200]}
                continue
            write(name + suffix, "tflite", content)
            write(name + suffix, "x", x)
            if name != "lstm":
                write(name + suffix, "y", answers(content, x))
            report[name + suffix] = {"inputs": int(numpy.prod(model.input_shape[1:]))}
    with open(os.path.join(FOLDER, "report.json"), "w", encoding="utf-8") as file:
        json.dump(report, file)


main()
