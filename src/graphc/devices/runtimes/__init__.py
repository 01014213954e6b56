"""Runtimes, one a file: each names a ``DEVICE``."""
