"""How a plan of passes is made and run: a failed check ends the compilation. Imports validate and stream."""
