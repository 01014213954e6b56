"""A walk over the graph that applies the rules, and the lengths for which its result holds. Imports rules."""
