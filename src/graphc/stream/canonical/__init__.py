"""Rewrites what exporters write in many ways into one form, before the rules run. Imports lowering."""
