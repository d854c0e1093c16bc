"""Trains a 1-D CNN with Keras: train_cnn1d.py PLAN.json OUT.keras. Writes the model of the epoch with the best validation result.

The plan has `window`, `stride`, `epochs`, and `train` and `validation`: lists of [file, class]. Files are recordings at 100 Hz (x, y, z);
windows are cut at 50 Hz.
"""
import json
import sys

import keras
import numpy
from keras import layers

with open(sys.argv[1], encoding="utf-8") as file:
    plan = json.load(file)


def windows(recordings):
    x, y = [], []
    for path, label in recordings:
        samples = numpy.loadtxt(path, delimiter=",", skiprows=1, dtype=numpy.float32)
        samples = samples[: len(samples) // 2 * 2].reshape([-1, 2, 3]).mean(axis=1)
        cut = numpy.lib.stride_tricks.sliding_window_view(samples, plan["window"], axis=0)[:: plan["stride"]]
        x.append(cut.transpose(0, 2, 1))
        y += [label] * len(cut)
    return numpy.concatenate(x), numpy.array(y)


x, y = windows(plan["train"])
held = windows(plan["validation"])
mean, deviation = x.mean(axis=(0, 1)), x.std(axis=(0, 1))
keras.utils.set_random_seed(7)
model = keras.Sequential(
    [
        keras.Input([plan["window"], 3]),
        layers.Conv1D(16, 5, padding="same", activation="relu"),
        layers.MaxPooling1D(2),
        layers.Conv1D(32, 5, padding="same", activation="relu"),
        layers.MaxPooling1D(2),
        layers.GlobalAveragePooling1D(),
        layers.Dense(len(set(y)), activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
best = keras.callbacks.EarlyStopping(patience=plan["epochs"], restore_best_weights=True)
history = model.fit(
    (x - mean) / deviation,
    y,
    validation_data=((held[0] - mean) / deviation, held[1]),
    epochs=plan["epochs"],
    batch_size=32,
    verbose=0,
    callbacks=[best],
)
model.save(sys.argv[2])
print(len(x), max(history.history["val_accuracy"]))
