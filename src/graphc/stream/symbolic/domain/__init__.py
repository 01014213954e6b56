"""What formulas are: integer sets (isl), tensors over them, and what moves their entries."""
