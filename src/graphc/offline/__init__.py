"""The offline model as the reference, and its inputs: random or recorded. Imports spec and ir."""
