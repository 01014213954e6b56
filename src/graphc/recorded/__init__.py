"""Many recordings, streamed through a compiled model and compared with the offline model."""
