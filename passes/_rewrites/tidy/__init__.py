"""Nodes that do nothing, or compute what exists already."""
