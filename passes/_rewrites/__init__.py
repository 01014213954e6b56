"""The rewrites of the fuse pass, one a file. Each takes a graph and says how often it fired."""
