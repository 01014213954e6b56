"""The runtimes that models are made for, one a file: what each has beside ONNX, and what pays on it. Imports errors."""
