"""What families of ops make of formulas, one file each."""
