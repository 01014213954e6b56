"""Rewrites of graphs: what one may read and change (scene), and how one is declared (rewrite, pattern)."""
