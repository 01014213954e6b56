"""A failing model made smaller, and a folder that shows the failure. Imports passes."""
