"""Rewrites that replace several nodes by one op that computes the same."""
