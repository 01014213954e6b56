"""Functions of a model: limits on them, a model without them, and ops that are written out as functions are."""
