"""Formulas of T: integer sets, tensors over them, what ops make of them, and the questions that rules ask."""
