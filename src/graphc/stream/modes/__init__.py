"""Other ways to stream than one chunk size, one clock and a cache a tensor. Imports propagation."""
