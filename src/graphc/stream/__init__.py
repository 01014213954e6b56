"""Where state can be lifted out of a graph, and how. Knows nothing of passes."""
