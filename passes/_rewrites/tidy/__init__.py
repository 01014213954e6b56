"""Rewrites that remove nodes that do nothing or repeat a computation."""
