"""The formulas of families of ops, one file each."""
