"""The interface of streaming rules, and the builder of the nodes that rules decide on. Imports symbolic."""
