"""The feature extraction of speech libraries as ONNX nodes, and the code that adds these nodes before a model."""
