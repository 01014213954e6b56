"""One file a runtime, each with ``open_runner``."""
