"""Keeps the results of slow passes for the next compilation."""
