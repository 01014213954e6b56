"""What tensors hold and what models cost: ranges, drift, latency, budgets. Imports validate."""
