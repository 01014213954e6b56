"""Ways to stream other than with one chunk size, one clock and one cache per tensor. Imports propagation."""
