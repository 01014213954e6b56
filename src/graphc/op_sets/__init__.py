"""The ops that an ONNX model may use (``target:`` in a spec), one set in each file. Imports errors."""
