"""Writes Keras models in both file formats, with inputs and Keras's outputs.

keras_models.py FOLDER: NAME.keras, NAME.h5, NAME.json ({inputs: [[…]], outputs: [[…]]}, flat rows) for each model.
keras_models.py FOLDER NAME…: NAME.json and the SavedModel NAME.saved, only for these (exporting one takes seconds).
"""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
from keras import layers as L

folder, exported = sys.argv[1], sys.argv[2:]
keras.utils.set_random_seed(5)


def sequential(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers])


def branches():
    x = keras.Input((9, 8, 2))
    a = L.Conv2D(4, (3, 2), strides=2, padding="same", activation="relu")(x)
    b = L.DepthwiseConv2D(3, padding="same", depth_multiplier=1)(a)
    c = L.Concatenate()([L.Add()([a, b]), L.Multiply()([a, b]), L.Subtract()([a, b])])
    d = L.Average()([c, L.Activation("tanh")(c)])
    e = L.Cropping2D(((1, 0), (0, 1)))(L.ZeroPadding2D(((0, 1), (2, 1)))(d))
    return keras.Model(x, L.Dense(1, activation="sigmoid")(L.Flatten()(e)))


def nested():
    inner = sequential((12, 3), L.Conv1D(4, 3, name="same_name"), L.BatchNormalization(), L.ReLU())
    x = keras.Input((12, 3))
    y = L.Conv1D(5, 2, name="conv_after")(inner(x))
    return keras.Model(x, L.Dense(2)(L.GlobalMaxPooling1D()(y)))


def shared():
    x = keras.Input((6,))
    twice = L.Dense(6, activation="silu")
    return keras.Model(x, L.Dense(3)(twice(twice(x))))


def normalized():
    norm = L.Normalization()
    norm.adapt(np.random.normal(3, 2, (50, 5)).astype("float32"))
    return sequential((5,), norm, L.Rescaling(0.5, 0.1), L.Dense(4, activation="leaky_relu"), L.Dense(2))


def recurrent_ways():
    x = keras.Input((5, 3))
    inner = sequential((5, 3), L.GRU(4, return_sequences=True), L.SimpleRNN(4, return_sequences=True))
    parts = [
        L.Bidirectional(L.LSTM(4), merge_mode="sum")(x),
        L.Bidirectional(L.GRU(4), backward_layer=L.SimpleRNN(4, go_backwards=True), merge_mode="mul")(x),
        L.GlobalMaxPooling1D()(inner(x)),
    ]
    return keras.Model(x, L.Dense(2)(L.Concatenate()(parts)))


def grouped(shape, *layers):
    return sequential(shape, *layers, L.Flatten(), L.Dense(3, activation="softmax"))


models = {
    "mlp": sequential((7,), L.Dense(9, activation="relu"), L.Dropout(0.3), L.Dense(5, use_bias=False), L.LeakyReLU(negative_slope=0.1), L.Dense(3), L.Softmax()),
    "conv1d": sequential(
        (20, 3),
        L.Conv1D(6, 5, padding="same", use_bias=False),
        L.BatchNormalization(),
        L.ReLU(6.0),
        L.MaxPooling1D(2),
        L.Conv1D(5, 3, padding="causal", dilation_rate=2, activation="relu"),
        L.SeparableConv1D(4, 3, activation="relu"),
        L.AveragePooling1D(2, padding="same"),
        L.SpatialDropout1D(0.1),
        L.DepthwiseConv1D(2, depth_multiplier=2),
        L.GlobalAveragePooling1D(),
        L.Dense(4, activation="softmax"),
    ),
    "conv2d": sequential(
        (11, 10, 2),
        L.Conv2D(4, 3, activation="relu"),
        L.BatchNormalization(scale=False),
        L.MaxPooling2D((2, 2)),
        L.SeparableConv2D(6, 3, padding="same", depth_multiplier=2, activation="tanh"),
        L.BatchNormalization(center=False),
        L.AveragePooling2D(2),
        L.Conv2D(3, 2, dilation_rate=1, padding="same"),
        L.GlobalAveragePooling2D(keepdims=True),
        L.Flatten(),
        L.Dense(2),
    ),
    "steps": sequential(
        (8, 4),
        L.Dense(5, activation="relu"),
        L.ZeroPadding1D((1, 2)),
        L.Cropping1D((1, 1)),
        L.Permute((2, 1)),
        L.Reshape((9, -1)),
        L.GaussianNoise(0.1),
        L.Flatten(),
        L.Dense(3),
    ),
    "grouped1d": grouped(
        (16, 6),
        L.Conv1D(9, 3, groups=3, padding="same", activation="relu"),
        L.BatchNormalization(),
        L.Conv1D(6, 3, groups=3, padding="causal", dilation_rate=2, use_bias=False),
        L.BatchNormalization(),
        L.ReLU(),
        L.Conv1D(4, 2, groups=2, strides=2),
    ),
    "grouped2d": grouped(
        (10, 9, 4),
        L.Conv2D(8, (3, 2), groups=2, padding="same", strides=2, activation="relu"),
        L.BatchNormalization(),
        L.Conv2D(8, 3, groups=8, padding="same"),
        L.MaxPooling2D(2, padding="same"),
        L.Conv2D(12, 2, groups=4, dilation_rate=2, padding="same", activation="tanh"),
    ),
    "branches": branches(),
    "nested": nested(),
    "shared": shared(),
    "normalized": normalized(),
    "recurrent": sequential(
        (6, 4),
        L.LSTM(5, return_sequences=True),
        L.LSTM(4, return_sequences=True, use_bias=False, activation="relu"),
        L.Dropout(0.2),
        L.Bidirectional(L.GRU(3, return_sequences=True)),
        L.GRU(5, reset_after=False, return_sequences=True),
        L.SimpleRNN(4, return_sequences=True, activation="linear"),
        L.Bidirectional(L.LSTM(3), merge_mode="ave"),
        L.Dense(2, activation="softmax"),
    ),
    "recurrent-last": sequential((7, 2), L.LSTM(6, go_backwards=True), L.Dense(3)),
    "recurrent-gru": sequential((9, 3), L.Conv1D(4, 2), L.GRU(6), L.Dense(3)),
    "recurrent-ways": recurrent_ways(),
    "recurrent-hard": sequential(
        (5, 3),
        L.LSTM(4, recurrent_activation="hard_sigmoid", activation="elu", return_sequences=True),
        L.Bidirectional(L.GRU(3, recurrent_activation="hard_sigmoid", activation="linear")),
        L.Dense(4, activation="hard_sigmoid"),
        L.Dense(2),
    ),
    "gelu": sequential(
        (20, 3),
        L.Conv1D(8, 3, activation="gelu"),
        L.GlobalAveragePooling1D(),
        L.Dense(5, activation="gelu"),
        L.Dense(2),
    ),
}

for name, model in models.items():
    if exported and name not in exported:
        continue
    random = np.random.default_rng(len(name))
    # Random moving statistics and biases, because zeros and ones would hide mistakes.
    for layer in model._flatten_layers():
        if isinstance(layer, (keras.Model, L.Normalization)):
            continue
        for variable in layer.weights:
            if variable.path.endswith("variance"):
                variable.assign(random.uniform(0.5, 2, variable.shape))
            elif len(variable.shape) == 1 and variable.dtype == "float32":
                variable.assign(random.normal(0.3, 0.5, variable.shape))
    x = random.normal(0, 1, (20, *model.input_shape[1:])).astype("float32")
    y = model.predict(x, verbose=0)
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump({"inputs": x.reshape(20, -1).tolist(), "outputs": y.reshape(20, -1).tolist()}, file)
    if exported:
        model.export(f"{folder}/{name}.saved", verbose=False)
        continue
    model.save(f"{folder}/{name}.keras")
    model.save(f"{folder}/{name}.h5")

# Models that the reader rejects.
sequential((6, 2), L.LSTM(3, return_sequences=True, go_backwards=True), L.Dense(2)).save(f"{folder}/backwards.keras")
sequential((6, 2), L.RNN(L.LSTMCell(3)), L.Dense(2)).save(f"{folder}/cell.keras")
keras.Sequential([keras.Input(batch_shape=(1, 6, 2)), L.GRU(3, stateful=True), L.Dense(2)]).save(f"{folder}/stateful.keras")
sequential((6, 2), L.GRU(3, activation="softmax"), L.Dense(2)).save(f"{folder}/softmax.keras")
sequential((6, 2), L.Conv1D(3, 2, activation="softplus"), L.Flatten(), L.Dense(2)).save(f"{folder}/softplus.keras")
sequential((None, 2), L.GlobalAveragePooling1D(), L.Dense(2)).save(f"{folder}/open.keras")
print(keras.__version__)
