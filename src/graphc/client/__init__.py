"""The manifest and the clients that stream by it. Imports ir."""
