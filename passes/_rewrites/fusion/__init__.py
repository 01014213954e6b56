"""One node in the place of several that compute it in parts."""
