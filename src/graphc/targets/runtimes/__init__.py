"""One file for each runtime. Each defines ``TARGET``."""
