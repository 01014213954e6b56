"""Formulas of T: integer sets, tensors over them, the formulas of ops, and the questions that rules ask."""
