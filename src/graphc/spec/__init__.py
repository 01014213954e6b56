"""The spec: how it is read and checked, and the role that it gives each input. Imports ir."""
