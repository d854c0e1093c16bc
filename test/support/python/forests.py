"""Computes random forests and other trees with scikit-learn, as references for aiot's.

forests.py scores NAME    reads splits as JSON, each a list with one letter per row (e = test row, otherwise training row); prints, for each
                          split and five seeds, the test accuracy of a RandomForestClassifier with default settings
forests.py boosting NAME  the same for GradientBoosting* with default settings, and HistGradientBoosting* with the same and with its own:
                          their accuracies or RMSEs with one seed, and the predictions of the first
forests.py onnx FOLDER    writes tree models converted by skl2onnx, and graphs with every branch mode, to FOLDER/NAME.onnx, with rows and
                          the outputs of ONNX Runtime in NAME.json; prints the names
"""
import json
import os
import sys

import numpy as np
from sklearn import datasets

what, name = sys.argv[1:]


def scores():
    from sklearn.ensemble import RandomForestClassifier

    table = getattr(datasets, f"load_{name}")()
    # aiot computes in single precision.
    x = table.data.astype(np.float32)
    for letters in json.load(sys.stdin):
        tested = np.array([letter == "e" for letter in letters])
        own = []
        for seed in range(5):
            model = RandomForestClassifier(random_state=seed, n_jobs=1).fit(x[~tested], table.target[~tested])
            own.append(float(np.mean(model.predict(x[tested]) == table.target[tested])))
        yield own


def boosting():
    from sklearn import ensemble

    table = getattr(datasets, f"load_{name}")()
    kind = "Classifier" if "target_names" in table else "Regressor"
    x = table.data.astype(np.float32)
    for letters in json.load(sys.stdin):
        tested = np.array([letter == "e" for letter in letters])

        def predicted(estimator, **settings):
            model = getattr(ensemble, estimator + kind)(random_state=0, **settings)
            return model.fit(x[~tested], table.target[~tested]).predict(x[tested])

        def score(found):
            wrong = found - table.target[tested]
            return float(np.mean(wrong == 0) if kind == "Classifier" else np.sqrt(np.mean(wrong**2)))

        exact = predicted("GradientBoosting")
        # With GradientBoosting's defaults. HistGradientBoosting's own, 31 leaves of at least 20 rows, yield a different model.
        histogram = predicted("HistGradientBoosting", max_depth=3, max_leaf_nodes=None, min_samples_leaf=1)
        own = predicted("HistGradientBoosting")
        yield {
            "exact": score(exact),
            "histogram": score(histogram),
            "histogramDefaults": score(own),
            "predicted": exact.tolist(),
        }


def estimators():
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        GradientBoostingClassifier,
        GradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    # HistGradientBoosting* is omitted: skl2onnx 1.20 passes NumPy numbers to onnx, which rejects them.
    x, y = datasets.load_wine(return_X_y=True)
    x = x.astype(np.float32)
    value = x[:, 0] * 3 + x[:, 4]
    text = np.array(["red", "white", "rose"])[y]
    yield "tree", DecisionTreeClassifier(random_state=1).fit(x, y), x
    yield "tree-regressor", DecisionTreeRegressor(max_depth=6, random_state=1).fit(x, value), x
    yield "forest", RandomForestClassifier(random_state=1).fit(x, y), x
    yield "forest-text", RandomForestClassifier(20, random_state=1).fit(x, text), x
    yield "forest-two", RandomForestClassifier(random_state=1).fit(x, y > 0), x
    yield "forest-scaled", make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=1)).fit(x, y), x
    yield "forest-regressor", RandomForestRegressor(50, random_state=1).fit(x, value), x
    yield "extra", ExtraTreesClassifier(random_state=1).fit(x, y), x
    yield "boosting", GradientBoostingClassifier(n_estimators=40, random_state=1).fit(x, y), x
    yield "boosting-two", GradientBoostingClassifier(n_estimators=60, random_state=1).fit(x, y > 0), x
    yield "boosting-regressor", GradientBoostingRegressor(random_state=1).fit(x, value), x


def branches():
    """Two-level trees with integer thresholds, so that rows of integers are often equal to a threshold."""
    from onnx import TensorProto, helper

    random = np.random.default_rng(3)
    for mode in ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"):
        for kind in ("SUM", "AVERAGE", "second", "pair", "pair-negative", "pair-logistic"):
            trees = range(4)
            attributes = {
                "nodes_treeids": [t for t in trees for _ in range(5)],
                "nodes_nodeids": [i for _ in trees for i in range(5)],
                "nodes_featureids": [int(f) for _ in trees for f in [*random.integers(0, 3, 2), 0, 0, 0]],
                "nodes_values": [float(v) for _ in trees for v in [*random.integers(-2, 3, 2), 0, 0, 0]],
                "nodes_modes": [m for _ in trees for m in [mode, mode, "LEAF", "LEAF", "LEAF"]],
                "nodes_truenodeids": [i for _ in trees for i in [1, 3, 0, 0, 0]],
                "nodes_falsenodeids": [i for _ in trees for i in [2, 4, 0, 0, 0]],
            }
            weights = random.uniform(0.01, 0.2, 12)
            if kind in ("pair-negative", "pair-logistic"):
                weights -= 0.1
            leaves = {
                "treeids": [t for t in trees for _ in range(3)],
                "nodeids": [i for _ in trees for i in [2, 3, 4]],
                "ids": [1 if kind == "second" else 0] * 12,
                "weights": [float(w) for w in weights],
            }
            if kind in ("SUM", "AVERAGE"):
                attributes |= {f"target_{key}": value for key, value in leaves.items()}
                attributes |= {"n_targets": 1, "aggregate_function": kind, "base_values": [0.25]}
                outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])]
                node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
            else:
                attributes |= {f"class_{key}": value for key, value in leaves.items()}
                attributes |= {"classlabels_int64s": [0, 1]}
                attributes["post_transform"] = "LOGISTIC" if kind == "pair-logistic" else "NONE"
                outputs = [
                    helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
                    helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2]),
                ]
                node = helper.make_node(
                    "TreeEnsembleClassifier", ["x"], ["label", "y"], domain="ai.onnx.ml", **attributes
                )
            given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
            graph = helper.make_graph([node], "trees", [given], outputs)
            opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
            rows = random.integers(-3, 4, (60, 3)).astype(np.float32)
            yield f"{mode}-{kind}", helper.make_model(graph, opset_imports=opsets, ir_version=8), rows


def ensembles(models):
    """TreeEnsemble of ONNX-ML 5, with the trees of TreeEnsembleRegressor nodes, and with several targets."""
    from onnx import TensorProto, helper

    numbers = {"BRANCH_LEQ": 0, "BRANCH_LT": 1, "BRANCH_GTE": 2, "BRANCH_GT": 3}
    for own, model, rows in models:
        node = model.graph.node[0]
        if len(model.graph.node) != 1 or node.op_type != "TreeEnsembleRegressor":
            continue
        old = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if any(old.get("base_values", [])) and not own.startswith("BRANCH"):
            continue
        nodes = list(zip(old["nodes_treeids"], old["nodes_nodeids"]))
        modes = [mode.decode() for mode in old["nodes_modes"]]
        branch = {key: i for i, key in enumerate(key for key, mode in zip(nodes, modes) if mode != "LEAF")}
        leaf = {key: i for i, key in enumerate(zip(old["target_treeids"], old["target_nodeids"]))}
        inner = [i for i, mode in enumerate(modes) if mode != "LEAF"]
        if {tree for tree, _ in branch} != set(old["nodes_treeids"]):
            continue

        def side(which):
            keys = [(nodes[i][0], old[f"nodes_{which}nodeids"][i]) for i in inner]
            return [int(key in leaf) for key in keys], [leaf[key] if key in leaf else branch[key] for key in keys]

        (true_leaf, true_id), (false_leaf, false_id) = side("true"), side("false")
        several = own.startswith("BRANCH")
        targets = [i % 3 if several else 0 for i in range(len(leaf))]
        for transform in range(3) if several else (0,):
            made = helper.make_node(
                "TreeEnsemble",
                ["x"],
                ["y"],
                domain="ai.onnx.ml",
                n_targets=3 if several else 1,
                aggregate_function=0 if old.get("aggregate_function") == b"AVERAGE" else 1,
                post_transform=transform,
                tree_roots=[min(branch[key] for key in branch if key[0] == tree) for tree in sorted(set(old["nodes_treeids"]))],
                nodes_modes=helper.make_tensor("m", TensorProto.UINT8, [len(inner)], [numbers[modes[i]] for i in inner]),
                nodes_splits=helper.make_tensor("s", TensorProto.FLOAT, [len(inner)], [old["nodes_values"][i] for i in inner]),
                nodes_featureids=[old["nodes_featureids"][i] for i in inner],
                nodes_truenodeids=true_id,
                nodes_trueleafs=true_leaf,
                nodes_falsenodeids=false_id,
                nodes_falseleafs=false_leaf,
                leaf_targetids=targets,
                leaf_weights=helper.make_tensor("w", TensorProto.FLOAT, [len(leaf)], old["target_weights"]),
            )
            given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, rows.shape[1]])
            out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3 if several else 1])
            opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 5)]
            graph = helper.make_graph([made], "trees", [given], [out])
            yield f"five-{own}-{transform}", helper.make_model(graph, opset_imports=opsets, ir_version=8), rows


def write():
    import onnxruntime
    from skl2onnx import to_onnx

    os.makedirs(name, exist_ok=True)
    models = []
    for own, model, rows in estimators():
        classifier = hasattr(model, "classes_")
        options = {id(model): {"zipmap": False}} if classifier else None
        models.append((own, to_onnx(model, rows[:1], options=options, target_opset=17), rows))
        if own == "forest":
            models.append(("forest-zipmap", to_onnx(model, rows[:1], target_opset=17), rows))
        # By default, skl2onnx states the lowest operator set that has the operators.
        if own in ("tree", "forest", "forest-scaled", "forest-regressor", "extra", "boosting"):
            models.append((f"{own}-default", to_onnx(model, rows[:1]), rows))
    models.extend(branches())
    models.extend(ensembles(models[:]))
    for own, model, rows in models:
        # Adds rows whose values are the float32 numbers next to those of the training rows, in a random direction.
        random = np.random.default_rng(5)
        near = np.nextafter(rows, np.where(random.random(rows.shape) < 0.5, -np.inf, np.inf).astype(np.float32))
        rows = np.concatenate([rows, near.astype(np.float32)])
        path = os.path.join(name, own)
        with open(path + ".onnx", "wb") as file:
            file.write(model.SerializeToString())
        transform = 0
        for attribute in model.graph.node[0].attribute:
            # In TreeEnsemble, ONNX Runtime 1.32 confuses SOFTMAX (1) with LOGISTIC (2), and onnx's evaluator ignores both.
            if own.startswith("five") and attribute.name == "post_transform":
                transform, attribute.i = attribute.i, 0
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        found = session.run(None, {session.get_inputs()[0].name: rows})
        if transform == 1:
            powers = np.exp(found[0].astype(np.float64))
            found = [powers / powers.sum(axis=1, keepdims=True)]
        elif transform == 2:
            found = [1 / (1 + np.exp(-found[0].astype(np.float64)))]
        labels, outputs = (found[0], found[1]) if len(found) > 1 else (None, found[0])
        if isinstance(outputs, list):
            outputs = np.array([list(row.values()) for row in outputs])
        outputs = np.asarray(outputs, dtype=np.float64).reshape(len(rows), -1)
        classes = None
        if labels is not None:
            isText = labels.dtype.kind not in "iub"
            classes = (np.unique(labels, return_inverse=True)[1] if isText else labels.astype(int)).tolist()
        with open(path + ".json", "w") as file:
            json.dump({"rows": rows.astype(float).tolist(), "outputs": outputs.tolist(), "classes": classes}, file)
    return [own for own, _, _ in models]


print(json.dumps(write() if what == "onnx" else list({"scores": scores, "boosting": boosting}[what]())))
