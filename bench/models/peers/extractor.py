"""Computes the 115 features of the original motion system with the libraries that the system uses: numpy, SciPy, pandas, PyWavelets and
statsmodels. As in its service, each window is processed separately, from three columns to the text that is sent.

    python extractor.py WINDOWS.bin COUNT SAMPLES

WINDOWS.bin holds float64, window after window, sample after sample, x y z. Prints one line of JSON with the processor time of each window,
in ms, and the features of the first one.
"""

import base64
import json
import math
import sys
import time

import numpy as np
import pandas as pd
import pywt
from scipy import signal, stats
from statsmodels.regression import linear_model
from statsmodels.tsa.stattools import levinson_durbin_pacf, pacf_burg

RATE = 100
AXES = ("x", "y", "z")


def spectrum(s):
    """Amplitude spectrum, as long as the signal. Bins 1 to ceil(n/2) are doubled, and the mirrored half is zero."""
    n = len(s)
    a = np.abs(np.fft.fft(s)) / n
    half = math.ceil(n / 2)
    a[1 : half + 1] *= 2
    a[half + 1 :] = 0
    return np.arange(n) * RATE / n, a


def share_frequency(f, a, share):
    c = np.cumsum(a)
    j = 1 + int(np.argmax(c[1:] / c[-1] >= share))
    return f[j]


def median_frequency(a):
    n = len(a) // 2 * 2
    e = a[: n // 2] ** 2
    m = len(e)
    at = previous = m // 2
    counter, previous_distance, previous_left, repeats = 2, 1e13, 1e14, 0
    while True:
        left, right = e[:at].sum(), e[at:].sum()
        step = int(m / 2**counter)
        if left < right:
            at = previous + step
        elif left > right:
            at = previous - step
        else:
            break
        distance = abs(right - left)
        if left == previous_left:
            repeats += 1
        if repeats == 10 or distance >= 15 * previous_distance:
            break
        previous, previous_distance, previous_left = at, distance, left
        counter += 1
    return previous


def spectral_entropy(s):
    _, psd = signal.periodogram(s, RATE)
    p = psd / psd.sum()
    p = p[p > 0]
    return -(p * np.log2(p)).sum()


def top3(s):
    _, a = spectrum(s)
    peaks, found = signal.find_peaks(a, height=0)
    largest = np.sort(found["peak_heights"])[-3:]
    return np.flatnonzero(np.isin(a, largest))


def features(frame):
    columns = [frame[axis].to_numpy(copy=True) for axis in AXES]
    x, y, z = columns
    pairs = ((x, y), (x, z), (y, z))
    spectra = [spectrum(s) for s in columns]
    out = {}

    def each(name, values):
        for axis, value in zip(AXES, values):
            out[f"acc_{axis}_{name}"] = float(value)

    each("mpf", [(a * f).sum() / a.sum() for f, a in spectra])
    each("iqr", [share_frequency(f, a, 0.75) - share_frequency(f, a, 0.25) for f, a in spectra])
    each("wilson_amp", [np.sign(np.abs(np.diff(s)) - 0.05).sum() for s in columns])
    each("crossco", [np.correlate(a, b)[0] for a, b in pairs])
    each("three_quarters", [share_frequency(f, a, 0.75) for f, a in spectra])
    each("one_quarter", [share_frequency(f, a, 0.25) for f, a in spectra])
    each("corecoef", [np.corrcoef(a, b)[0, 1] for a, b in pairs])
    out["acc_mpf"] = float(sum(np.abs(s).sum() for s in columns) / len(x))
    each("slope_change", [np.count_nonzero(np.diff(np.sign(s))) for s in columns])
    each("rms", [np.sqrt(np.mean(s**2)) for s in columns])
    each("stdev", [frame[axis].var() for axis in AXES])
    each("mean", [frame[axis].mean() for axis in AXES])
    each("mad", [stats.median_abs_deviation(s) for s in columns])
    each("zerocr", [np.count_nonzero(np.diff(np.sign(s))) for s in columns])
    each("wf", [np.abs(np.diff(s)).sum() for s in columns])
    each("mav", [np.abs(s).sum() for s in columns])
    each("p2p", [np.ptp(s) for s in columns])
    each("median_frequency", [median_frequency(a) for _, a in spectra])
    each("entropy", [spectral_entropy(s) for s in columns])
    each("kurtosis_t", [stats.kurtosis(s, fisher=False) for s in columns])
    each("kurtosis_f", [stats.kurtosis(a, fisher=False) for _, a in spectra])
    each("skewness_t", [stats.skew(s) for s in columns])
    each("skewness_f", [stats.skew(a) for _, a in spectra])
    each("top3", top3(x + y + z))
    for axis, s in zip(AXES, columns):
        rho, _ = linear_model.yule_walker(s, order=4, result_object=False)
        for i, value in enumerate(rho):
            out[f"acc_{axis}_autoregyw_{i + 1}"] = float(value)
    for axis, s in zip(AXES, columns):
        pacf, _ = pacf_burg(s, 4, demean=True)
        ar, _ = levinson_durbin_pacf(pacf, 4)
        for i, value in enumerate(ar):
            out[f"acc_{axis}_autoregburg_{i + 1}"] = float(value)
    # The original reverses the names: values computed from x are stored under z's names.
    for axis, s in zip(reversed(AXES), columns):
        bands = pywt.wavedec(s, "sym4", mode="symmetric")
        for i, band in enumerate(bands):
            out[f"acc_{axis}_enwacto_{i + 1}"] = float(abs(band[-7]) / len(bands[0]))
    return out


def message(frame):
    row = pd.DataFrame([features(frame)])
    return base64.b64encode(row.to_json(orient="split").encode())


def main():
    path, count, samples = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    windows = np.fromfile(path, dtype="<f8").reshape(count, samples, 3)
    message(pd.DataFrame(windows[0], columns=AXES))
    times = []
    for window in windows:
        started = time.process_time()
        message(pd.DataFrame({axis: window[:, i] for i, axis in enumerate(AXES)}))
        times.append((time.process_time() - started) * 1000)
    first = features(pd.DataFrame(windows[0], columns=AXES))
    print(json.dumps({"ms": times, "names": list(first), "features": list(first.values())}))


main()
