"""A graph run at a few lengths: shapes, and the values of time-only tensors. Imports canonical."""
