"""Converts between the real and integer values of quantized models: real = scale * (q - zero point)."""
import numpy


def from_real(values, dtype, parameters):
    if dtype == numpy.float32:
        return values
    bounds = numpy.iinfo(dtype)
    q = numpy.round(values / parameters["scales"][0]) + parameters["zero_points"][0]
    return numpy.clip(q, bounds.min, bounds.max).astype(dtype)


def to_real(values, parameters):
    if values.dtype == numpy.float32:
        return values
    q = values.astype(numpy.float32) - parameters["zero_points"][0]
    return (q * parameters["scales"][0]).astype(numpy.float32)
