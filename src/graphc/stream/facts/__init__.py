"""What is known of a tensor when its model is looked at as a stream. Imports nothing else of stream."""
