"""Frames written at even places of a longer axis, by scatters or by Col2Im, in ops that stream."""
