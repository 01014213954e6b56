"""The offline model as the reference, and the inputs that it gets. Imports spec and ir."""
