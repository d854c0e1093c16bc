"""Quantizes a model to full int8 with TensorFlow's converter: convert.py SAVED_MODEL ROWS.csv OUT.tflite."""
import sys

import numpy
import tensorflow

saved, table, out = sys.argv[1:]
rows = numpy.loadtxt(table, delimiter=",", skiprows=1, dtype=numpy.float32)[:, :-1]
converter = tensorflow.lite.TFLiteConverter.from_saved_model(saved)
converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([row[None]] for row in rows)
converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tensorflow.int8
with open(out, "wb") as file:
    file.write(converter.convert())
