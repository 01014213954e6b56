"""One file for each front end. Its options have the names that its library gives them."""
