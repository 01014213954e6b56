"""A package of passes and streaming rules of somebody else's."""
