"""Fewer moves of axes and entries."""
