"""Runtimes of devices: each converts a streaming model, opens the result, and runs it through its ONNX ports."""
