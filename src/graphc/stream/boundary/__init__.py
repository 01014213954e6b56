"""What ops make of frames outside a stream (lowering/missing_frames masks those of a call). Imports lowering."""
