"""Streams many recordings through a compiled model, and compares the outputs with the offline model."""
