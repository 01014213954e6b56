"""Inlines the local functions of a model within limits, and writes out ops that work like functions."""
