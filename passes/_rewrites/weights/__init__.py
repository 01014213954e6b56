"""Arithmetic that goes into weights."""
