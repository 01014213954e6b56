"""The streaming rules, one file per family of ops. Every module here is found automatically."""
