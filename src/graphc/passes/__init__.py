"""Plans and runs passes. A failed check after a pass ends the compilation. Imports validate and stream."""
