"""What a streaming model promises: its ports and its lengths. Imports errors."""
