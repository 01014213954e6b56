"""The rewrites of the fuse pass, one in each file. Each takes a graph and returns how often it fired."""
