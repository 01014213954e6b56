"""What a pass is, and how a plan of passes is made and run. Imports validate and stream."""
