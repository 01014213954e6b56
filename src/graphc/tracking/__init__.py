"""Compiled models in the tools that teams keep their experiments and models in."""
