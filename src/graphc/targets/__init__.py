"""The runtimes that models are made for, one a file: its ops beyond ONNX, and what is faster on it. Imports errors."""
