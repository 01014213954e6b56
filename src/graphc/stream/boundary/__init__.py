"""What ops give for frames outside a stream (lowering/mask_missing_frames masks those of a call). Imports lowering."""
