"""Runs models in runtimes other than onnxruntime, through the native ports in the manifest."""
