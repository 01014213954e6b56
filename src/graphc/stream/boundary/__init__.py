"""Frames that do not exist: before the first of a stream, and behind its last. Imports lowering."""
