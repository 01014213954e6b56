"""Finds what a lift would find in a model without a spec, and writes a first spec. Imports stream."""
