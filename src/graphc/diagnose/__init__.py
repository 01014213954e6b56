"""Makes a failing model smaller, and writes a folder that reproduces the failure. Imports passes."""
