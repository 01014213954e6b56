"""The feature extraction of speech libraries as ONNX nodes, and how to put it in front of a model."""
