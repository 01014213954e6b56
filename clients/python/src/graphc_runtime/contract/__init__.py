"""The manifest, and the first values that it names: untrusted until checked."""
