"""Relative attention: Reshape, Slice and Gather move entries until they form a score matrix. Imports scores."""
