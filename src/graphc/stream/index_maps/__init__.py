"""Relative attention: entries moved by Reshape, Slice and Gather until they are scores. Imports scores."""
