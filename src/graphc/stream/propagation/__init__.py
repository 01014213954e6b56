"""A walk over the graph that applies the rules, and the lengths for which it holds. Imports all above."""
