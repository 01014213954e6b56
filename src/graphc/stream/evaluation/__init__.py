"""A graph run at a few lengths: shapes, and values of what depends on time alone. Imports canonical."""
