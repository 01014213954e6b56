"""ONNX ops in LiteRT's, one family a file."""
