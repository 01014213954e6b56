"""Rewrites scatters and Col2Im that write frames at evenly spaced positions of a longer axis to streamable ops."""
