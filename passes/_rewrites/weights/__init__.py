"""Rewrites that move arithmetic into weights."""
