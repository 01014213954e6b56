"""The command line, thin over the Python API: one subcommand a file, imported when it is asked for."""
