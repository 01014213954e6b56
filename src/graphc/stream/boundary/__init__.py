"""What ops give for frames outside a stream (lowering/mask_past_the_end masks those of a call). Imports lowering."""
