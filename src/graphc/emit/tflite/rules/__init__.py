"""ONNX ops as LiteRT ops, one family in each file."""
