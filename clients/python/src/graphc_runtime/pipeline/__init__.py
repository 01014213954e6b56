"""Pipelines: several models joined to one, and what decides at the end."""
