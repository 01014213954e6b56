"""The command line, a thin layer over the Python API. Each subcommand has its own file, which is imported on demand."""
