"""Derives the manifest from a model. Its reader is ``graphc_runtime``, in ``clients/python``."""
