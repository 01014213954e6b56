"""Streaming models that run a clip model on the last frames of a stream. Imports lift."""
