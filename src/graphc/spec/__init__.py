"""Reads and checks specs, and defines the roles that a spec gives to inputs. Imports ir."""
