"""Trains 4-60-30-10-1 with Keras: train_mlp.py ROWS.csv TRAIN VALIDATION EPOCHS OUT.keras. Writes the model of the epoch with the best
validation result."""
import sys

import keras
import numpy
from keras import layers

table, out = sys.argv[1], sys.argv[5]
train, validation, epochs = map(int, sys.argv[2:5])
rows = numpy.loadtxt(table, delimiter=",", skiprows=1, dtype=numpy.float32)
x, y = rows[:, :-1], rows[:, -1]
x = (x - x[:train].mean(axis=0)) / x[:train].std(axis=0)
keras.utils.set_random_seed(7)
hidden = [layers.Dense(units, activation="relu") for units in (60, 30, 10)]
model = keras.Sequential([keras.Input([4]), *hidden, layers.Dense(1, activation="sigmoid")])
model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
held = slice(train, train + validation)
best = keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True)
history = model.fit(
    x[:train], y[:train], validation_data=(x[held], y[held]), epochs=epochs, batch_size=32, verbose=0, callbacks=[best]
)
model.save(out)
print(max(history.history["val_accuracy"]))
