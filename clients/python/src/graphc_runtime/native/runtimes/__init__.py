"""One file for each runtime, each with ``open_runner``."""
