"""What ``graphc client`` copies into a project: the header, the web package, and the programs around them."""
