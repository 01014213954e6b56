"""Many variants of one spec, tried and compared."""
