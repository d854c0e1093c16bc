"""Prints scikit-learn's small tables, and scores of logistic regression on standardized rows for given splits.

small_tables.py rows NAME      prints the table as CSV, with the class or the value in the column label
small_tables.py scores NAME    reads [[letter of each row]] as JSON (e = test row, otherwise training row), prints {accuracy, macroF1} for each
"""
import json
import sys

import numpy as np
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

what, name = sys.argv[1:]
table = getattr(datasets, f"load_{name}")()
if what == "rows":
    print(",".join([f"x{i}" for i in range(table.data.shape[1])] + ["label"]))
    for row, label in zip(table.data, table.target):
        named = f"class{label}" if "target_names" in table else repr(float(label))
        print(",".join([repr(float(value)) for value in row] + [named]))
else:
    scores = []
    for letters in json.load(sys.stdin):
        tested = np.array([letter == "e" for letter in letters])
        model = make_pipeline(StandardScaler(), LogisticRegression())
        model.fit(table.data[~tested], table.target[~tested])
        said = model.predict(table.data[tested])
        truth = table.target[tested]
        scores.append(
            {"accuracy": float(np.mean(said == truth)), "macroF1": float(f1_score(truth, said, average="macro"))}
        )
    print(json.dumps(scores))
