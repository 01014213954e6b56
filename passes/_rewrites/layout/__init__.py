"""Rewrites that remove Transposes, Reshapes and other nodes that only move entries."""
