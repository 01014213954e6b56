"""The front ends, one per file. The options of each have the names that its library uses."""
