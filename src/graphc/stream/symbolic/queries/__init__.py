"""The claims that rules make about formulas; the answer to each is the set of lengths at which it fails."""
