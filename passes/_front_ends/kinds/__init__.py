"""One front end a file, with its options by the names that its library gives them."""
