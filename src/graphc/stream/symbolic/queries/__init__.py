"""The questions that rules ask of formulas; each answer is the set of lengths at which the answer is no."""
