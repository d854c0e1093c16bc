"""Creates the model that both sides quantize, which is not timed: float_model.py ROWS.csv SAVED_MODEL OUT.tflite."""
import sys

import keras
import numpy
import tensorflow
from keras import layers

table, saved, out = sys.argv[1:]
rows = numpy.loadtxt(table, delimiter=",", skiprows=1, dtype=numpy.float32)
keras.utils.set_random_seed(7)
hidden = [layers.Dense(units, activation="relu") for units in (60, 30, 10)]
model = keras.Sequential([keras.Input([4], batch_size=1), *hidden, layers.Dense(1, activation="sigmoid")])
model.compile("adam", "binary_crossentropy")
model.fit(rows[:, :-1], rows[:, -1], epochs=3, batch_size=1, verbose=0)
model.export(saved, verbose=False)
with open(out, "wb") as file:
    file.write(tensorflow.lite.TFLiteConverter.from_saved_model(saved).convert())
