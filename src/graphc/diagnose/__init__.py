"""Makes a failing model smaller, and writes a folder that shows the failure. Imports passes."""
