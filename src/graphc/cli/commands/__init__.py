"""One subcommand a file. Imports all other folders."""
