"""Constants that depend on the position in the stream, computed from the clock in each call. Imports scores."""
