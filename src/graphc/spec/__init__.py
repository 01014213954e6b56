"""Reads and checks the spec, and defines the roles that it gives to inputs. Imports ir."""
