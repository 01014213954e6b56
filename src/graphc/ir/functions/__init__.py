"""Local functions of a model: limits on them, and a model without them."""
