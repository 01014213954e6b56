"""Weights in blocks of 4 or 8 bits."""
