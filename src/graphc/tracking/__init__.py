"""Compiled models in experiment trackers and model registries."""
