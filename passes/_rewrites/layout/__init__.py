"""Rewrites that save moves of axes and entries."""
