"""Checks that the streaming model equals the offline one: runs both and compares. Imports client and offline."""
