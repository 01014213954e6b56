"""Runs a graph at a few lengths, to record shapes and the values of time-only tensors. Imports canonical."""
