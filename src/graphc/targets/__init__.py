"""The runtimes of devices (``targets:`` in a spec): each converts a streaming model, opens the result and runs it."""
