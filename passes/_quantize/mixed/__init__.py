"""Finds by measurement which precision each weight gets."""
