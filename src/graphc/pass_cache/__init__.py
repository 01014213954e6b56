"""Caches the results of slow passes for later compilations."""
