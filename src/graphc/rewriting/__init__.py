"""Rewrites of graphs: what one may know and do (scene), how one is declared (rewrite, pattern)."""
