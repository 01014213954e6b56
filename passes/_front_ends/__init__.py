"""The feature extraction of speech libraries as ONNX nodes, and how it is put in front of a model."""
