"""Weights of large models, which stay in files, and weights that nodes compute from other weights."""
