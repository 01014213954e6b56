"""Compiles several models together: joined call by call, with a decoder at the end. Imports build."""
