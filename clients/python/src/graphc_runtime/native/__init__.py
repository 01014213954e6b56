"""Models on runtimes other than onnxruntime, run through the native ports of a manifest."""
