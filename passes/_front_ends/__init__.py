"""Features of speech libraries as nodes: what they are, and how they are put in front of a model."""
