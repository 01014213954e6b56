"""Does the streaming model equal the offline one? Runs both and compares. Imports client and offline."""
