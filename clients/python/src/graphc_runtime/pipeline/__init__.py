"""Pipelines: several models joined into one, with a decoder at the end."""
