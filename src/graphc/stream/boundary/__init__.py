"""The output of ops for frames outside a stream (lowering/missing_frames masks those of a call). Imports lowering."""
