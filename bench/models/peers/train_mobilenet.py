"""Trains a MobileNet or an object finder on gray pictures with Keras: train_mobilenet.py PLAN.json. Prints the duration of the fastest epoch in seconds,
without the first one, which compiles.

The plan has `kind` (mobilenet or fomo), `blocks` (v1 or v2), `size`, `layers` (filters), `epochs`, and `train` and `validation`: lists of [file, answer].
The answer is a class, or a list of [row, column, class] in a grid with cells of 8 x 8 pixels; cells without an object have class 0.
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


finds = plan["kind"] == "fomo"


def expected(answer):
    if not finds:
        return numpy.array(answer)
    cells = -(-plan["size"] // 8)
    grid = numpy.zeros([cells, cells], dtype=numpy.int64)
    for row, column, label in answer:
        grid[row, column] = label
    return grid


def pictures(listed):
    x = [tensorflow.io.decode_png(tensorflow.io.read_file(path), channels=1).numpy() for path, _ in listed]
    return numpy.stack(x).astype(numpy.float32), numpy.stack([expected(answer) for _, answer in listed])


x, y = pictures(plan["train"])
held = pictures(plan["validation"])
mean, deviation = x.mean(), x.std()
keras.utils.set_random_seed(7)


def norm(output):
    return layers.BatchNormalization(momentum=0.9)(output)


def normed(output):
    return layers.ReLU(6)(norm(output))


def separable(output, filters, stride, _):
    output = normed(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(output))
    return normed(layers.Conv2D(filters, 1, use_bias=False)(output))


def inverted(output, filters, stride, expansion):
    start = output
    if expansion > 1:
        output = normed(layers.Conv2D(start.shape[-1] * expansion, 1, use_bias=False)(output))
    output = normed(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(output))
    output = norm(layers.Conv2D(filters, 1, use_bias=False)(output))
    return layers.Add()([start, output]) if stride == 1 and filters == start.shape[-1] else output


v2 = plan["blocks"] == "v2"
first, *blocks = plan["layers"]
last = blocks.pop() if v2 else None
inputs = keras.Input([plan["size"], plan["size"], 1])
output = normed(layers.Conv2D(first, 3, 2, padding="same", use_bias=False)(inputs))
before = None
halvings = 2 if finds else len(blocks)
for filters in blocks:
    stride = 1
    if before is not None and filters > before and halvings > 0:
        stride = 2
        halvings -= 1
    output = (inverted if v2 else separable)(output, filters, stride, 1 if before is None else 6)
    before = filters
if last is not None:
    output = normed(layers.Conv2D(last, 1, use_bias=False)(output))
if not finds:
    output = layers.GlobalAveragePooling2D()(output)
output = layers.Dense(int(y.max()) + 1, activation="softmax")(output)
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
