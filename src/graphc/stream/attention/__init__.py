"""Products that make score matrices or multiply them by values. Imports scores and index_maps."""
