"""Nodes that do nothing, or nothing new."""
