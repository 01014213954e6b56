"""The streaming rules, one family of ops a file. Every module here is found automatically."""
