"""The lift: offline model in, streaming model out. Imports nothing from the passes."""
