"""Trains a MobileNet v1 on gray pictures with Keras: train_mobilenet.py PLAN.json. Prints the duration of the fastest epoch in seconds, without the first
one, which compiles.

The plan has `size`, `filters`, `epochs`, and `train` and `validation`: lists of [file, class].
"""
import json
import sys
import time

import keras
import numpy
import tensorflow
from keras import layers

with open(sys.argv[1], encoding="utf-8") as file:
    plan = json.load(file)


def pictures(listed):
    x = [tensorflow.io.decode_png(tensorflow.io.read_file(path), channels=1).numpy() for path, _ in listed]
    return numpy.stack(x).astype(numpy.float32), numpy.array([label for _, label in listed])


x, y = pictures(plan["train"])
held = pictures(plan["validation"])
mean, deviation = x.mean(), x.std()
keras.utils.set_random_seed(7)


def normed(output):
    return layers.ReLU(6)(layers.BatchNormalization(momentum=0.9)(output))


first, *blocks = plan["filters"]
inputs = keras.Input([plan["size"], plan["size"], 1])
output = normed(layers.Conv2D(first, 3, 2, padding="same", use_bias=False)(inputs))
before = None
for filters in blocks:
    stride = 2 if before is not None and filters > before else 1
    output = normed(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(output))
    output = normed(layers.Conv2D(filters, 1, use_bias=False)(output))
    before = filters
output = layers.Dense(len(set(y)), activation="softmax")(layers.GlobalAveragePooling2D()(output))
model = keras.Model(inputs, output)
model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])


class Clock(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.ends = []

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.perf_counter())


clock = Clock()
history = model.fit(
    (x - mean) / deviation,
    y,
    validation_data=((held[0] - mean) / deviation, held[1]),
    epochs=plan["epochs"],
    batch_size=16,
    verbose=0,
    callbacks=[clock],
)
epochs = [end - start for start, end in zip(clock.ends, clock.ends[1:])]
print(json.dumps({"fastest": min(epochs), "accuracy": max(history.history["val_accuracy"])}))
