"""Rewrites that put one node in the place of several that compute the same in parts."""
