"""Results of slow passes, kept for the next compilation."""
