"""The subcommands, one in each file. Imports all other folders."""
