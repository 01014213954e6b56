"""The parts of ``quantize``: its options, one module for each mode, and the report of what stays in float."""
