"""Classical models of ONNX's ML domain over the two features of ``x`` [1, 2, T], as text, each with its constants."""

from __future__ import annotations

import numpy as np

ROWS = "z = Squeeze (x, front) r = Transpose <perm=[1,0]> (z)"
TREE = (
    'nodes_treeids=[0,0,0], nodes_nodeids=[0,1,2], nodes_featureids=[1,0,0], nodes_modes=["BRANCH_LEQ","LEAF","LEAF"],'
    " nodes_values=[0.1,0.0,0.0], nodes_truenodeids=[1,0,0], nodes_falsenodeids=[2,0,0], nodes_missing_value_tracks_true=[0,0,0]"
)
SUPPORT = "support_vectors=[0.1,0.2,-0.3,0.4], kernel_params=[0.5,0.0,0.0]"
CALLS = {
    "Scaler": "y = {} <offset=[0.5,0.1], scale=[2.0,0.5]> (r)",
    "Normalizer": 'y = {} <norm="L2"> (r)',
    "Imputer": "y = {} <imputed_value_floats=[0.0,1.0], replaced_value_float=7.0> (r)",
    "ArrayFeatureExtractor": "y = {} (r, column)",
    "LinearRegressor": "y = {} <coefficients=[0.3,-0.7], intercepts=[0.1], targets=1> (r)",
    "LinearClassifier": "l, y = {} <classlabels_ints=[0,1], coefficients=[0.3,-0.7,0.2,0.5], intercepts=[0.1,0.0],"
    ' post_transform="SOFTMAX"> (r)',
    "SVMRegressor": f'y = {{}} <coefficients=[0.5,-0.5], kernel_type="RBF", n_supports=2, rho=[0.1], {SUPPORT}> (r)',
    "SVMClassifier": f'l, y = {{}} <classlabels_ints=[0,1], coefficients=[1.0,-1.0], kernel_type="RBF", rho=[0.1], {SUPPORT},'
    " vectors_per_class=[1,1]> (r)",
    "TreeEnsembleRegressor": f"y = {{}} <{TREE}, n_targets=1, target_ids=[0,0], target_nodeids=[1,2], target_treeids=[0,0],"
    " target_weights=[0.25,-0.5]> (r)",
    "TreeEnsembleClassifier": f"l, y = {{}} <{TREE}, classlabels_int64s=[0,1], class_ids=[0,1], class_nodeids=[1,2],"
    " class_treeids=[0,0], class_weights=[0.9,0.8]> (r)",
    "Binarizer": "y = {} <threshold=0.1> (r)",
    "LabelEncoder": "i = Cast <to=7> (r) e = {} <keys_int64s=[0], values_int64s=[5], default_int64=3> (i) y = Cast <to=1> (e)",
}
ARRAYS = {"front": np.array([0]), "column": np.array([1])}
ML_CASES = {f"ai.onnx.ml::{op}": (f"{ROWS} {call.format('ai.onnx.ml.' + op)}", ARRAYS) for op, call in CALLS.items()}
LOOKED_UP = f"{ROWS} a = ArgMax <axis=1, keepdims=0> (r) y = ai.onnx.ml.ArrayFeatureExtractor (table, a)"
