"""Parts of attention models, as text."""

from __future__ import annotations

import numpy as np

SCORES = "k = Transpose <perm=[0,2,1]> (x) s = MatMul (x, k)"
PLACES = """
    h = Shape (x) t = Gather (h, one) r = Range (zero, t, one) q = Unsqueeze (r, last) p = Unsqueeze (r, first) d = Sub (p, q)
"""
ARRAYS = {"one": np.array(1), "zero": np.array(0), "first": np.array([0]), "last": np.array([1])}
BAND = "far = Abs (d) off = Greater (far, reach) m = Where (off, low, {scores})"
LIMITS = {"low": np.float32(-1e9), "reach": np.array(2)}
