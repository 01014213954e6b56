"""Pipelines: several models joined to one, with a decoder at the end."""
