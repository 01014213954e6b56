"""The interface of streaming rules, and the builder with which rules write nodes. Imports symbolic."""
