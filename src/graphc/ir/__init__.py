"""The model in memory: the graph, its checks, its weights, and onnxruntime. Imports contract and system."""
