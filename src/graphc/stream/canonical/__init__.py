"""Rewrites the different forms that exporters write into one form, before the rules run. Imports lowering."""
