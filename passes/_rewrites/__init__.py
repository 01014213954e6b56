"""The rewrites of the fuse pass, one per file. Each rewrite changes a graph and returns how often it fired."""
