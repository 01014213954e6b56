"""The types of formulas: integer sets (isl), tensors over them, and moves of their entries."""
