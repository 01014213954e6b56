"""What slow passes made, kept for the next compilation."""
