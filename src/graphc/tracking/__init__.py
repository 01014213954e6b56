"""Publishes compiled models in experiment trackers and model registries."""
