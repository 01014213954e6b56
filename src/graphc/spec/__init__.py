"""The spec: read, checked, and what it says of each input. Imports ir."""
