"""Computes the same metrics with pandas and SciPy: PSI, Jensen-Shannon, KS and Wasserstein of each column. Prints them as JSON."""

import json
import sys

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial.distance import jensenshannon

base = pd.read_csv(sys.argv[1])
now = pd.read_csv(sys.argv[2])
out = []
for name in base.columns:
    a, b = base[name].to_numpy(), now[name].to_numpy()
    cuts = np.quantile(a, np.arange(1, 10) / 10)
    p = np.bincount(np.searchsorted(cuts, a, side="right"), minlength=10) / len(a)
    q = np.bincount(np.searchsorted(cuts, b, side="right"), minlength=10) / len(b)
    p_, q_ = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
    ks = stats.ks_2samp(a, b, method="asymp")
    out.append(
        {
            "name": name,
            "psi": float(np.sum((q_ - p_) * np.log(q_ / p_))),
            "js": float(jensenshannon(p, q)),
            "ks": float(ks.statistic),
            "wasserstein": float(stats.wasserstein_distance(a, b)),
        }
    )
print(json.dumps(out))
