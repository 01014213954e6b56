"""Runtimes of devices: a streaming model converted, opened, and run by its ONNX ports."""
