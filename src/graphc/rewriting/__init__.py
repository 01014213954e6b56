"""Rewrites of graphs: what a rewrite can read and change (scene), and how rewrites are declared (rewrite, pattern)."""
