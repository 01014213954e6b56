"""Models on runtimes other than onnxruntime, by the native ports of a manifest."""
