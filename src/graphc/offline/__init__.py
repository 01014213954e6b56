"""The offline model as reference, and the inputs that it is fed. Imports spec and ir."""
