"""Measures tensors and models: ranges, drift, latency, budgets. Imports validate."""
