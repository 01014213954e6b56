"""The manifest and the files of first values that it names. Both are untrusted until checked."""
