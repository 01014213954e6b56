"""Rewrites of graphs: what a rewrite can read and change (scene), and how one is declared (rewrite, pattern)."""
