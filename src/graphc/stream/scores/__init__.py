"""Score matrices: how they are combined, and which of their entries are left after masks. Imports lowering."""
