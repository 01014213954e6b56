"""Facts: what is known about a tensor when its model is analysed as a stream. Imports nothing else of stream."""
