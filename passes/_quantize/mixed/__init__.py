"""Which weights have which precision, by measurement."""
