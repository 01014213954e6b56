"""One file for each runtime. Each defines ``DEVICE``."""
