"""ONNX ops in torch's, one family a file."""
