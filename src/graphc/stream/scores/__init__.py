"""Score matrices: how they are combined, and which entries masks leave. Imports lowering."""
