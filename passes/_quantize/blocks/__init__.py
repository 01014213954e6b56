"""Weights of 4 or 8 bits, with one scale per block of a channel."""
