"""Tries many variants of one spec, and compares them."""
