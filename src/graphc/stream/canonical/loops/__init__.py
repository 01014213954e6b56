"""Loops and branches, rewritten so that rules can read them: picked frames, conditions, iterations, scan outputs."""
