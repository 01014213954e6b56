"""How ``quantize`` works: its options, one module for each mode, and what stays in float."""
