"""Entries moved by Reshape, Slice and Gather until they are scores: relative attention. Imports scores."""
