"""The manifest of a model, derived from it. What reads it is ``graphc_runtime``, in ``clients/python``."""
