"""The runtimes that models are made for, one in each file: ops beyond ONNX's, and what is faster. Imports errors."""
