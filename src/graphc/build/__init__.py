"""Compiles a spec into the files of its output. Imports passes and measure."""
