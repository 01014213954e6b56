"""The lift: offline model in, streaming model out. Knows nothing of passes."""
