"""The manifest, and the first values that it names: hostile until checked."""
