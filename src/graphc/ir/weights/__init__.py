"""Weights of large models, which stay in files, and those that are made of weights."""
