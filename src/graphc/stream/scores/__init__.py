"""Attention scores, indexed by two times: how they join, what masks leave of them. Imports lowering."""
