"""Products that make scores, or sum over them with values. Imports scores and index_maps."""
