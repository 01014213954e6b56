"""A clip model over the last frames of a stream. Imports lift."""
