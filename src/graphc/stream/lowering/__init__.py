"""What a streaming rule is, and the builder that makes nodes of what rules decide. Imports symbolic."""
