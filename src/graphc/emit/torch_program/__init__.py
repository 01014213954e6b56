"""An ONNX graph of fixed sizes as a torch program, for runtimes that take torch alone."""
