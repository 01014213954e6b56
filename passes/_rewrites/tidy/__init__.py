"""Rewrites that remove nodes that do nothing, or compute what exists already."""
