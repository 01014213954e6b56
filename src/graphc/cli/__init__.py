"""The command line, a thin layer over the Python API. Each subcommand has a file, imported when it is needed."""
