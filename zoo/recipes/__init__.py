"""One file a package: how its networks are built and fed."""
